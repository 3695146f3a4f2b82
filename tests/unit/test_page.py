"""The dashboard's files: all there, all our own, and served with headers that hold them to it."""

import asyncio
import re
import tomllib
from functools import cache

import httpx
import pytest
from fastapi import FastAPI

from encore.paths import PROJECT_ROOT
from encore.settings import load_settings
from serving.app import create_app
from serving.page import FILES

IMPORT = re.compile(r'from "(\.[^"]+)"')


@cache
def page() -> FastAPI:
    return create_app(load_settings(), "", "")


def ask(path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=page())

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get(path)

    return asyncio.run(get())


def test_the_page_is_at_the_root_and_may_load_nothing_from_elsewhere() -> None:
    told = ask("/")
    assert told.status_code == 200
    assert told.headers["content-type"].startswith("text/html")
    rules = [one.split() for one in told.headers["content-security-policy"].split(";")]
    assert rules[0] == ["default-src", "'none'"]
    assert {place for _, *places in rules for place in places} == {"'none'", "'self'"}
    assert told.headers["x-frame-options"] == "DENY"


def test_whatever_the_page_names_is_there() -> None:
    index = (FILES / "index.html").read_text(encoding="utf-8")
    named = re.findall(r'(?:src|href)="(web/[^"]+)"', index)
    assert len(named) >= 4
    assert [ask(f"/{one}").status_code for one in named] == [200] * len(named)
    imports = [
        module.parent / one
        for module in FILES.rglob("*.js")
        for one in IMPORT.findall(module.read_text(encoding="utf-8"))
    ]
    assert len(imports) > 8
    assert [one for one in imports if not one.is_file()] == []


def test_all_of_the_page_is_in_the_distribution() -> None:
    declared = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = declared["tool"]["setuptools"]["package-data"]["serving"]
    packed = {one for pattern in patterns for one in FILES.parent.glob(pattern) if one.is_file()}
    assert packed == {one for one in FILES.rglob("*") if one.is_file()}


def test_the_page_names_no_other_place() -> None:
    ours = [one for one in FILES.rglob("*.*") if "vendor" not in one.parts and one.suffix != ".svg"]
    assert len(ours) > 8
    for one in ours:
        assert not re.search(r"(?:https?:)?//[a-z0-9-]+\.", one.read_text(encoding="utf-8")), one


@pytest.mark.parametrize("path", ["/web/../app.py", "/web/%2e%2e/app.py", "/web/none.js", "/web/"])
def test_nothing_else_is_served(path: str) -> None:
    told = ask(path)
    assert told.status_code == 404
    assert told.headers["content-type"] == "application/problem+json"


def test_answers_of_the_api_are_still_not_to_be_shown_as_a_page() -> None:
    told = ask("/api/v1/hello")
    assert told.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert told.headers["cache-control"] == "no-store"
