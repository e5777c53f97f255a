# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a rollout in headless Chromium, light and dark, wide and narrow."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.landfall.stack.plugins.module_utils.rollout.journal import Entry
from ansible_collections.landfall.stack.plugins.module_utils.rollout.release import Release
from ansible_collections.landfall.stack.plugins.module_utils.rollout.timeline_page import page
from lab.browser import chromium

RID = "20261121T044200Z-00000001"


def well(container, after_s):
    return {"container": container, "history": ["0.0s starting", f"{after_s}s healthy"], "well_after_s": after_s}


def good():
    """A wave of two services, one of them stopped first."""
    report = {
        "plan": ["wave 1: db: stopped first, since postgres is a database", "wave 1: web: rolling, 2 new, 2 old go"],
        "waves": [{"wave": 1, "services": ["db", "web"], "healthy_s": 6.0, "switched_s": 7.0, "switch_s": 0.4}],
        "services": [
            {"service": "db", "strategy": "recreate", "reason": "postgres is a database", "changes": ["image"],
             "old": ["toy-db-1"], "new": ["toy-db-1"], "health": [well("toy-db-1", 2.0)]},
            {"service": "web", "strategy": "rolling", "reason": "", "changes": ["image a-rather-long-name:1.4.1 -> "
             "a-rather-long-name:1.4.2"], "old": ["toy-web-1", "toy-web-2"], "new": ["toy-web-3", "toy-web-4"],
             "health": [well("toy-web-3", 3.0)],
             "drain": {"toy-web-1": {"drained": True, "drain_s": 4.0, "gone_s": 4.5}}},
        ],
        "timings": {"total_s": 25.0, "app_s": 5.0, "bake_s": 15.0, "drain_s": 0.5, "overhead_s": 4.5},
    }  # fmt: skip
    return page(Release(RID, "toy", "d", "c", outcome="sealed", who="ada@laptop", version="1.4.2"), report, [])


def bad():
    """A gate that failed."""
    evidence = {
        "message": "service web: not well after 120 s: its healthcheck says starting",
        "containers": [{"container": "toy-web-3", "service": "web", "status": "running", "exit_code": 0, "restarts": 2,
                        "health": [{"output": "connection refused"}], "log": ["a line " * 40]}],
    }  # fmt: skip
    steps = [("00", "written", {}), ("01", "pulled", {}), ("03", "wave 1 started", {"containers": ["toy-web-3"]}),
             ("03", "wave 1 gated", {"services": ["web"]}), ("59", "failed", {})]  # fmt: skip
    journal = [Entry(f"2026-11-21T04:42:{second}Z", RID, step, detail) for second, step, detail in steps]
    return page(Release(RID, "toy", "d", "c", outcome="failed", evidence=evidence), {}, journal)


def test_in_a_browser(tmp_path):
    # LANDFALL_SHOTS: a directory for screenshots to look at.
    shots = os.environ.get("LANDFALL_SHOTS")
    with chromium() as browser:
        for name, text in (("good", good()), ("bad", bad())):
            path = tmp_path / f"{name}.html"
            path.write_text(text, encoding="utf-8")
            for scheme, width in (("light", 1200), ("dark", 1200), ("dark", 420)):
                tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                tab.set_default_timeout(120_000)
                complaints, asked = [], []
                tab.on("console", lambda message, to=complaints: to.append(message.text))
                tab.on("pageerror", lambda error, to=complaints: to.append(str(error)))
                tab.on("request", lambda request, to=asked: to.append(request.url))
                tab.goto(path.as_uri())
                assert not complaints and asked == [path.as_uri()]
                too_wide = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert too_wide <= 0, f"{name}, {scheme}, {width}: {too_wide} pixels too wide"
                drawn = tab.locator("svg rect.bar")
                assert drawn.count() == (10 if name == "good" else 2)
                boxes = [drawn.nth(at).bounding_box() for at in range(drawn.count())]
                assert all(box and box["width"] > 0 for box in boxes)
                assert (tab.locator("svg rect.failed").count() == 1) == (name == "bad")
                colours = tab.evaluate(
                    "['body', 'svg .label'].map(one => getComputedStyle(document.querySelector(one)))"
                    ".map((style, at) => at ? style.fill : style.backgroundColor)"
                )
                assert colours[0] != colours[1]
                assert (colours[0] == "rgb(255, 255, 255)") == (scheme == "light")
                if shots:
                    tab.screenshot(path=str(Path(shots) / f"{name}-{scheme}-{width}.png"), full_page=True)
                tab.close()
