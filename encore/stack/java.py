"""Find the Java that runs Kafka, Spark and Ivy."""

import os
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from encore.errors import EncoreError

OLDEST = 17
INSTALL = f"Install Java {OLDEST} or newer (Debian, Ubuntu: openjdk-17-jre-headless)"


@lru_cache(maxsize=1)
def find_java() -> Path:
    """Return the ``java`` to use, from ``JAVA_HOME`` or the ``PATH``.

    Raises:
        EncoreError: there is none, it does not run, or it is too old.
    """
    java = java_candidate(os.environ.get("JAVA_HOME", ""))
    version = java_version(java)
    if version < OLDEST:
        raise EncoreError(f"{java} is Java {version}, which is too old. {INSTALL}.")
    return java


def java_candidate(java_home: str) -> Path:
    """Return ``JAVA_HOME``'s java, else the one on the ``PATH``."""
    if java_home:
        java = Path(java_home) / "bin" / "java"
        if not os.access(java, os.X_OK):
            raise EncoreError(f"JAVA_HOME={java_home} holds no bin/java. Correct or unset it.")
        return java
    found = shutil.which("java")
    if found is None:
        raise EncoreError(f"there is no java on the PATH. {INSTALL}, or set JAVA_HOME.")
    return Path(found)


def java_version(java: Path) -> int:
    """Ask a java for its feature version, such as 17."""
    answer = subprocess.run([str(java), "-version"], capture_output=True, text=True, check=False)
    version = parse_java_version(answer.stderr + answer.stdout)
    if answer.returncode != 0 or version is None:
        raise EncoreError(f"{java} does not run. {INSTALL}.")
    return version


def parse_java_version(text: str) -> int | None:
    """Read the feature version from what ``java -version`` prints: 1.8.0 is 8, 17.0.2 is 17."""
    match = re.search(r'version "(\d+)(?:\.(\d+))?', text)
    if match is None:
        return None
    major, minor = int(match[1]), match[2]
    return int(minor) if major == 1 and minor else major
