"""Settings: where they come from, what is refused, what is shown."""

from pathlib import Path

import pytest

from encore.cli.settings_command import env_example
from encore.errors import SettingsError
from encore.paths import PROJECT_ROOT
from encore.settings import Settings, describe_settings, load_settings, redacted


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder without a ``.env``; return it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_environment_goes_before_the_file_and_the_file_before_the_default(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / ".env").write_text("KAFKA_PARTITIONS=6\nALS_RANK=8\n")
    monkeypatch.setenv("ALS_RANK", "16")
    rows = {row.name: row for row in describe_settings(load_settings())}
    assert (rows["KAFKA_PARTITIONS"].value, rows["KAFKA_PARTITIONS"].source) == ("6", ".env")
    assert (rows["ALS_RANK"].value, rows["ALS_RANK"].source) == ("16", "environment")
    assert (rows["ALS_ITERATIONS"].value, rows["ALS_ITERATIONS"].source) == ("10", "default")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("KAFKA_PORT", "70000", "less than or equal to 65535"),
        ("KAFKA_PARTITIONS", "0", "greater than 0"),
        ("STREAM_TRIGGER_SECONDS", "soon", "valid number"),
        ("LOG_FORMAT", "xml", "'auto', 'console' or 'json'"),
        ("SPARK_DRIVER_MEMORY", "much", "match pattern"),
    ],
)
def test_a_wrong_value_names_key_value_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, rule: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert f"{name}='{value}' is not allowed" in str(caught.value)
    assert rule in str(caught.value)


def test_two_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PORT", "x")
    monkeypatch.setenv("ALS_RANK", "-1")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert [line.split("=")[0] for line in str(caught.value).splitlines()] == [
        "KAFKA_PORT",
        "ALS_RANK",
    ]


def test_secrets_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hush@somewhere/db")
    monkeypatch.setenv("POSTGRES_PASSWORD", "hush")
    current = load_settings()
    assert "hush" not in repr(current) + str(describe_settings(current))


def test_every_setting_says_what_it_does() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_example_file_is_complete_and_current() -> None:
    rows = describe_settings(Settings.model_construct(), environ={})
    written = (PROJECT_ROOT / ".env.example").read_text(encoding="utf-8")
    assert written == env_example(rows), "run `encore settings --example > .env.example`"


def test_what_a_job_logs_of_the_settings_hides_the_secrets() -> None:
    current = load_settings(
        database_url="postgresql://me:hush@somewhere/db", postgres_password="hush"
    )
    logged = redacted(current)
    assert "hush" not in str(logged)
    assert logged["kafka_partitions"] == "4"
    assert logged.keys() == Settings.model_fields.keys()
