"""Images and documents in messages: recognised by their bytes, and loaded when a call needs them."""
