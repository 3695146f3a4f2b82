"""The demo's servers: fetched, started if they are ours, stopped, wiped.

Kafka, PostgreSQL, and Redis where the machine has it.
"""

import json
import shutil
from pathlib import Path

from encore.errors import EncoreError
from encore.stack import layout, local
from encore.stack.redis_server import has_redis
from encore.stack.state import write_atomically


class Services:
    """Remembers which servers the demo itself started, also over a demo that was killed."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._record = home / "demo-services.json"

    def fetch(self) -> None:
        """Fetch whatever is not in the cache yet."""
        from encore.stack.account import unprivileged_account
        from encore.stack.artifacts import kafka_jars, spark_jars
        from encore.stack.binaries import postgres_home

        spark_jars()
        if not local.is_external("kafka"):
            kafka_jars()
        if not local.is_external("postgres"):
            postgres_home(unprivileged_account())

    def refuse_external(self) -> None:
        """Refuse to wipe what is not ours.

        Raises:
            EncoreError: the settings name a service of somebody else's.
        """
        variables = {"kafka": "KAFKA_BOOTSTRAP_SERVERS", "postgres": "DATABASE_URL"}
        external = [variables[name] for name in local.SERVICES if local.is_external(name)]
        if external:
            raise EncoreError(
                f"--fresh wipes only the local stack, not what {' and '.join(external)} names. "
                "Unset that, or empty the topics and the database yourself."
            )

    def wipe(self) -> None:
        """Delete the local stack's data and the stream's checkpoints."""
        local.wipe()
        shutil.rmtree(self._home / "checkpoints", ignore_errors=True)

    def up(self) -> None:
        """Start what does not run, remembering beforehand what was ours to start."""
        wanted = [*local.SERVICES, *(["redis"] if has_redis() else [])]
        stopped = {
            name
            for name in wanted
            if not local.is_external(name)
            and local.status([name])[0].health is local.Health.STOPPED
        }
        ours = sorted(stopped | set(self._ours()))
        write_atomically(self._record, json.dumps(ours) + "\n", mode=0o644)
        local.up(wanted)

    def down(self) -> None:
        """Stop what the demo started."""
        local.down(self._ours())
        self._record.unlink(missing_ok=True)

    def _ours(self) -> list[str]:
        try:
            found = json.loads(self._record.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return []
        return [name for name in local.EVERY if name in found]


def look_further(listener: str) -> tuple[str, ...]:
    """Return lines that tell how to look at the tables; no password is in them."""
    from encore.stack.shell import psql_environment

    where = psql_environment()
    plain = "psql -h {PGHOST} -p {PGPORT} -U {PGUSER} -d {PGDATABASE}".format(**where)
    passfile = f"PGPASSFILE={where['PGPASSFILE']} " if "PGPASSFILE" in where else ""
    return (
        f"look further: encore recommend {listener or 'u1'}   encore runs   encore psql",
        f"or: {passfile}{plain}",
        f"logs: {layout.log_file('demo').parent}",
    )
