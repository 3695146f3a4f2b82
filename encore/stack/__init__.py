"""The local stack: real Kafka and PostgreSQL without Docker, or those the settings name."""

from encore.stack.local import Health, ServiceStatus, down, status, up, wipe

__all__ = ["Health", "ServiceStatus", "down", "status", "up", "wipe"]
