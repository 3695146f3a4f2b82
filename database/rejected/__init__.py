"""Rejected records: their rows, and sending them to Kafka again, for whoever asks for it."""
