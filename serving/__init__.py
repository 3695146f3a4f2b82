"""The REST API: recommendations, items and listeners over HTTP, and their events into Kafka."""
