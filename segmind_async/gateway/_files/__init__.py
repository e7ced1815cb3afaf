"""Files that callers have uploaded, and those that batches have written for them."""
