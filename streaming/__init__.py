"""Kafka to features: a Structured Streaming job whose numbers are exact."""
