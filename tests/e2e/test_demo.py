"""The demo, as a user runs it: from nothing to recommendations, again, and to Ctrl-C."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.programs import encore, running

pytestmark = [pytest.mark.e2e, pytest.mark.services]

SMALL_WORLD = ("--users", "300", "--tracks", "1000", "--history", "7d", "--rate", "100")
QUICK_MODEL = {
    "ALS_RANK": "8",
    "ALS_ITERATIONS": "3",
    "SPARK_MASTER": "local[2]",
    "TRAIN_MIN_INTERACTIONS": "200",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo")
    yield folder
    for process in processes_of(folder):
        process.kill()
    # PostgreSQL's data lie elsewhere where its own user could not reach the folder.
    encore("down", "--wipe", env=environment(folder))
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def report(home: Path) -> dict[str, Any]:
    file = home / "report.json"
    encore(
        "demo", "--for", "20s", "--json", str(file), *SMALL_WORLD, env=environment(home),
        timeout=420,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def environment(home: Path) -> dict[str, str]:
    return {"ENCORE_HOME": str(home), **QUICK_MODEL}


def processes_of(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get("ENCORE_HOME") == str(home):
                found.append(process)
    return found


def remembered(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / "demo.json").read_text())
    return found


def page_of(log: Path) -> str:
    """Return where a demo says that its page is."""
    told = [json.loads(line) for line in log.read_text().splitlines() if '"the page"' in line]
    return str(told[0]["at"])


def may(page: str, key: str) -> str:
    """Open a page, and return what a key may do there."""
    assert "<title>Encore</title>" in httpx.get(page).text
    told = httpx.get(f"{page}api/v1/key", headers={"X-API-Key": key})
    return str(told.json()["role"])


def test_the_demo_fills_every_hop_and_its_counts_close(report: dict[str, Any]) -> None:
    assert report["ok"], report["problems"]
    assert report["produced"] > 5_000
    parts = report["accepted"] + report["duplicate"] + report["rejected"]
    assert parts == report["produced"]
    assert 0 < report["late"] < report["accepted"]  # the history is late, what is live is not
    assert report["model"]["algorithm"] == "als"
    assert report["rows"]["current_recommendations"] > 0


def test_the_demo_leaves_no_process_behind(report: dict[str, Any], home: Path) -> None:
    assert report["ok"]
    assert processes_of(home) == []


def test_a_second_start_goes_on_without_the_history_and_ends_on_ctrl_c(
    report: dict[str, Any], home: Path
) -> None:
    log = home / "second.log"
    key = (home / "secrets" / "demo-key").read_text().strip()  # of the first start
    with running("demo", env=environment(home), log=log) as program:
        program.wait_until(
            lambda: len(remembered(home)["away"]) == 2, timeout=180, what="it is live again"
        )
        program.wait_until(
            lambda: '"event": "live"' in log.read_text(), timeout=180, what="it counts live events"
        )
        assert may(page_of(log), key) == "admin"
        assert program.end(signal.SIGINT, timeout=90) == 0
    assert key not in log.read_text()
    assert processes_of(home) == []
    assert "history sent" not in log.read_text()
    assert remembered(home)["stopped_ms"] >= remembered(home)["away"][-1][1]
    assert not (home / "demo-services.json").exists()


def test_another_world_than_the_data_are_of_is_refused(report: dict[str, Any], home: Path) -> None:
    with pytest.raises(AssertionError, match=r"--users 300\. Leave it out"):
        encore("demo", "--users", "7", env=environment(home))
