"""Images in messages: formats by their bytes, and loading them when a call needs them."""
