"""The report in headless Chromium, light and dark: it shows, without an error and without a request to anywhere."""

from __future__ import annotations

import sys
from pathlib import Path

from lab.browser import chromium


def shoot(page: Path, out: Path) -> dict[str, object]:
    """Screenshots ``<out>/light.png`` and ``dark.png``. Gives back what was seen.

    :raises AssertionError: the page complains, asks for something from elsewhere, or shows no timeline.
    """
    seen: dict[str, object] = {}
    with chromium() as browser:
        for scheme in ("light", "dark"):
            tab = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme=scheme)
            complaints: list[str] = []
            tab.on("console", lambda message, to=complaints: to.append(message.text))
            tab.on("pageerror", lambda error, to=complaints: to.append(str(error)))
            asked: list[str] = []
            tab.on("request", lambda request, to=asked: to.append(request.url))
            tab.goto(page.resolve().as_uri())
            assert not complaints, complaints
            assert all(url.startswith("file:") for url in asked), asked
            seen[f"timelines_{scheme}"] = tab.locator("figure svg").count()
            assert tab.locator("figure svg").count() > 0, "no timeline on the page"
            wide = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"the page is {wide} pixels too wide"
            tab.screenshot(path=str(out / f"{scheme}.png"), full_page=True)
            tab.close()
    return seen


if __name__ == "__main__":
    print(shoot(Path(sys.argv[1]), Path(sys.argv[1]).parent))
