"""From a request to its outcome: admission, one call with its retries, many calls at once."""
