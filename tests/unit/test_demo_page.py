"""The demo's page: at the usual port where that is free, and silent without a key."""

import socket

import pytest

from demo.page import Page
from encore.settings import settings


def test_the_page_is_at_the_port_of_the_settings_or_at_a_free_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        monkeypatch.setenv("SERVE_PORT", str(taken))
        settings.cache_clear()
        page = Page()
    assert page.address != f"http://127.0.0.1:{taken}/"
    assert Page().address == f"http://127.0.0.1:{taken}/"  # free by now
    settings.cache_clear()


def test_any_port_is_a_port_by_the_time_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVE_PORT", "0")
    settings.cache_clear()
    page = Page()
    settings.cache_clear()
    assert not page.address.endswith(":0/")
    assert page.arguments[-1] == page.address.removesuffix("/").rpartition(":")[2]


def test_nothing_is_told_before_there_is_a_key() -> None:
    page = Page()
    assert page.lines() == ()
    page.key = "encore_0123abcd_5"
    assert page.lines() == (f"the page: {page.address}   its key: encore_0123abcd_5",)
