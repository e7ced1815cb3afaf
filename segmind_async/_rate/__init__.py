"""The rate of starts and the number in flight: pacer, 429 gate, concurrency limit, circuit breaker. Pure."""
