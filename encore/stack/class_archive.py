"""An archive of the classes that Spark loads when it starts, so that it starts much sooner.

Java maps an archive of parsed and verified classes into memory instead of reading them from
hundreds of jars (class-data sharing, JEP 350). It belongs to one Java and one class path and checks
both by itself: with another one, or a damaged file, Spark starts as slowly as without.
"""

import hashlib
import sys
from pathlib import Path

from encore.stack.artifacts import pyspark_home, spark_jars
from encore.stack.java import find_java

# Java says on stdout why it takes no archive, where programs read what a job prints.
_QUIET = "-Xshare:auto -Xlog:cds=off -Xlog:cds+dynamic=off -Xlog:class+path=off"


def archive_file() -> Path:
    """Return where the archive for this Java and this PySpark is, or will be.

    It lies in the Python environment that has this PySpark, and goes with it.
    """
    jars = pyspark_home() / "jars"
    release = find_java().resolve().parents[1] / "release"
    java = release.read_text(encoding="utf-8") if release.is_file() else str(release)
    class_path = [*map(str, spark_jars()), str(jars)]
    named = "\n".join([java, *class_path, str(jars.stat().st_mtime_ns)])
    digest = hashlib.sha256(named.encode()).hexdigest()[:12]
    return _folder() / f"spark-{digest}.jsa"


def usable_archive(master: str) -> Path | None:
    """Return the archive for a Spark whose driver starts here by itself, if it was made."""
    file = archive_file()
    return file if master.startswith("local") and file.is_file() else None


def empty_folder() -> Path:
    """Return a folder without files: with any, a folder on the class path forbids an archive."""
    return _folder() / "empty"


def use_options(archive: Path) -> str:
    """Return what makes Java take an archive if it can."""
    return f'"-XX:SharedArchiveFile={archive}" {_QUIET}'


def write_options(archive: Path) -> str:
    """Return what makes Java write an archive when it ends."""
    return f'"-XX:ArchiveClassesAtExit={archive}" -XX:TieredStopAtLevel=1 {_QUIET}'


def _folder() -> Path:
    return Path(sys.prefix) / "share" / "encore"
