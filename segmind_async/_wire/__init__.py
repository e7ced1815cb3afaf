"""HTTP answers of the service as values: JSON, response headers, failures, redaction of keys."""
