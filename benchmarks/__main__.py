"""``make bench``: start services of its own, measure, stop them."""

import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from benchmarks import producer
from encore.log import configure_logging
from encore.settings import LogLevel, settings
from encore.stack import local
from encore.stack.endpoints import kafka_bootstrap_servers


@contextmanager
def own_kafka() -> Iterator[str]:
    """Run a broker in a folder of its own, whatever the settings name; yield its address."""
    with tempfile.TemporaryDirectory(prefix="encore-bench-") as home:
        os.environ |= {"ENCORE_HOME": home, "KAFKA_BOOTSTRAP_SERVERS": ""}
        settings.cache_clear()
        try:
            local.up(["kafka"])
            yield kafka_bootstrap_servers()
        finally:
            local.wipe(["kafka"])


def main() -> None:
    """Print the machine, then a line for each figure."""
    configure_logging(level=LogLevel.WARNING)
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"kafka-python {version('kafka-python')}, NumPy {version('numpy')}"
    )
    with own_kafka() as bootstrap:
        producer.main(bootstrap)


if __name__ == "__main__":
    main()
