"""How fast and how many at once: pace, 429 gate, concurrency limit, circuit breaker. Pure."""
