"""The numbers prove themselves: every table recomputed from Kafka, without the stream's code."""
