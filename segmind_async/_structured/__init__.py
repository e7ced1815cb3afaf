"""Answers of a given type: schemas, prompts, and JSON in the text of a model."""
