"""Pictures of each view of a running demo: ``make screenshots``, into docs/screenshots."""

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect

from encore.paths import PROJECT_ROOT
from encore.settings import settings
from encore.stack import layout
from tests.browser.chromium import chromium

FOLDER: Final = PROJECT_ROOT / "docs" / "screenshots"
WIDE: Final = ViewportSize(width=1280, height=960)
PHONE: Final = ViewportSize(width=390, height=844)
SETTLED_MS: Final = 6_000


def main() -> None:
    """Take them all."""
    asked = argparse.ArgumentParser(description=__doc__)
    port = settings().serve_port
    asked.add_argument("--url", default=f"http://{layout.HOST}:{port}", help="Of the page.")
    asked.add_argument("--key-file", type=Path, default=layout.secrets_folder() / "demo-key")
    given = asked.parse_args()
    key = given.key_file.read_text(encoding="utf-8").strip()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for name, act in VIEWS.items():
            take(browser, given.url, key, name, act, WIDE, dark=False)
        take(browser, given.url, key, "now", settle, WIDE, dark=True)
        take(browser, given.url, key, "listener", like, PHONE, dark=False)


def take(
    browser: Browser,
    url: str,
    key: str,
    view: str,
    act: Callable[[Page], None],
    size: ViewportSize,
    *,
    dark: bool,
) -> None:
    """Open a view, do something on it, and keep what it looks like then."""
    context = browser.new_context(viewport=size, color_scheme="dark" if dark else "light")
    page = context.new_page()
    page.goto(f"{url}/#/{view}")
    page.get_by_label("Key of the API").fill(key)
    page.get_by_role("button", name="Open").click()
    page.locator(".view h1").wait_for()
    act(page)
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    name = view + ("-dark" if dark else "") + ("-phone" if size == PHONE else "")
    if size == PHONE:
        page.locator("#recommended").evaluate("node => node.parentElement.scrollIntoView()")
    save(page.screenshot(full_page=size != PHONE), FOLDER / f"{name}.png")
    context.close()


def settle(page: Page) -> None:
    """Wait for the first numbers and charts."""
    page.wait_for_timeout(SETTLED_MS)
    expect(page.get_by_text("Loading")).to_have_count(0, timeout=60_000)


def like(page: Page) -> None:
    """Choose who was active last, like the best of their list, and wait for the list to follow."""
    page.locator(".found a").first.click()
    page.locator("#recommended > li[data-item]").first.wait_for()
    page.get_by_role("button", name="Like").first.click()
    page.locator('[data-hop="shown here"]').wait_for()


VIEWS: Final[dict[str, Callable[[Page], None]]] = {
    "now": settle,
    "music": settle,
    "listener": like,
    "models": settle,
    "data": settle,
}


def save(picture: bytes, path: Path) -> None:
    """Keep a picture in few colours: it is of text and lines."""
    with Image.open(io.BytesIO(picture)) as image:
        few = image.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE)
        few.save(path, optimize=True)


if __name__ == "__main__":
    main()
