"""Batches: a job over an uploaded file, in the form of OpenAI's Batch API."""
