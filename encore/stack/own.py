"""A stack of one's own: services in a folder that lasts as long as the work with them."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from encore.settings import settings
from encore.stack import local

_NAMED: Final = ("ENCORE_HOME", "KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "REDIS_URL")


@contextmanager
def own_stack(prefix: str) -> Iterator[Path]:
    """Run Kafka and PostgreSQL in a temporary home, whatever the settings name; yield the home.

    At the end both are wiped, and the process's environment is as it was.
    """
    before = {name: os.environ.get(name) for name in _NAMED}
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        os.environ |= {**dict.fromkeys(_NAMED, ""), "ENCORE_HOME": folder}
        settings.cache_clear()
        try:
            local.up()
            yield Path(folder)
        finally:
            local.wipe()
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            settings.cache_clear()
