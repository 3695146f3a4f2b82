"""An exactly-once PostgreSQL sink for micro-batches; of use to any stream, not only Encore's."""
