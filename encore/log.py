"""Structured logging: one line an event, for people on a terminal, as JSON when asked."""

import logging
import sys
from typing import TextIO, cast

import structlog

from encore.settings import LogFormat, LogLevel


def configure_logging(
    log_format: LogFormat = LogFormat.AUTO,
    level: LogLevel = LogLevel.INFO,
    stream: TextIO | None = None,
) -> None:
    """Send every log line to a stream, by default standard error, in the chosen format."""
    output = stream or sys.stderr
    console = log_format is LogFormat.CONSOLE or (log_format is LogFormat.AUTO and output.isatty())
    threshold = getattr(logging, level.value.upper())
    logging.basicConfig(level=logging.WARNING, stream=output, format="%(message)s", force=True)
    # kafka-python tells of every attempt to connect; whoever waits for Kafka says so once, better.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    # py4j prints the stack of an error that the caller gets and tells of as well.
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(output),
    )


def get_logger(part: str) -> structlog.typing.FilteringBoundLogger:
    """Return a logger whose lines carry the name of the part."""
    return cast(structlog.typing.FilteringBoundLogger, structlog.get_logger(part=part))
