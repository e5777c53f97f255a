# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of backups in headless Chromium, light and dark, wide and narrow, without a script."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.landfall.stack.plugins.module_utils.backup import layout, metrics
from ansible_collections.landfall.stack.plugins.module_utils.backup.catalogue import KnownSet
from ansible_collections.landfall.stack.plugins.module_utils.backup.drill import FAILED, PASSED, Record, Rung
from ansible_collections.landfall.stack.plugins.module_utils.backup.drill_state import Drills
from ansible_collections.landfall.stack.plugins.module_utils.backup.history_page import page
from ansible_collections.landfall.stack.plugins.module_utils.backup.manifest import Item, Manifest, SentObject, Verdict
from lab.browser import chromium

DAY, START = 86400.0, 1_790_000_000.0


def record(sid: str, day: int, good: bool) -> Record:
    rungs = (Rung("bytes", PASSED, 3.0, "12 objects"), Rung("rows", PASSED if good else FAILED, 1.0, "<b>rows</b>" * 9))
    at = START + day * DAY + 7200
    return Record(
        layout.set_id(at, "aaaa"), "app", "h", "timer", layout.stamp(at), "main", sid, 1, layout.stamp(at + 60), good,
        "" if good else "rows: table <order> has 3 rows, the backup had 4", 40.0 + day if good else None, 7200.0, rungs,
    )  # fmt: skip


def text(days: int, good: bool) -> str:
    sets, drills = [], []
    for day in range(days):
        at = START + day * DAY
        sid = layout.set_id(at, "aaaa")
        item = Item("a", "path", "", "/a", (SentObject("k", 10_000_000 + day * 300_000, "0", 1),), 1, (), 1.0)
        made = Manifest(sid, "app", "h", "timer", layout.stamp(at), layout.stamp(at + 40 + day), (item,))
        drilled = record(sid, day, good or day < days - 1) if day % 7 == 6 else None
        drills += [drilled] if drilled else []
        sets.append(KnownSet(sid, made, Verdict(sid, day != 3, "decoded", "", ""), drill=drilled))
    state = (
        metrics.State("app", START, True, 40, "", sets[-1].id, START + days * DAY - DAY)
        if sets
        else metrics.State("app")
    )
    return page("app", sets, Drills("app", tuple(drills), 8 * DAY if days else 0), state, START + days * DAY)


def test_in_a_browser(tmp_path: Path):
    # LANDFALL_SHOTS: a directory for screenshots to look at.
    shots = os.environ.get("LANDFALL_SHOTS")
    with chromium() as browser:
        for name, html, bars in (
            ("good", text(28, True), 64),
            ("bad", text(28, False), 64),
            ("none", text(0, True), 0),
        ):
            path = tmp_path / f"{name}.html"
            path.write_text(html, encoding="utf-8")
            for scheme, width in (("light", 1200), ("dark", 1200), ("dark", 420)):
                context = browser.new_context(
                    viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=False
                )
                tab = context.new_page()
                tab.set_default_timeout(120_000)
                asked = []
                tab.on("request", lambda request, to=asked: to.append(request.url))
                tab.goto(path.as_uri())
                assert asked == [path.as_uri()]
                drawn = tab.locator("svg rect.bar")
                assert drawn.count() == bars
                boxes = [drawn.nth(at).bounding_box() for at in range(0, bars, 9)]
                assert all(box and box["width"] > 0 and box["height"] > 0 for box in boxes)
                # A set that is damaged is red in both charts of sets; a drill that failed in all four.
                assert tab.locator("svg rect.bad").count() == {"good": 2, "bad": 6, "none": 0}[name]
                assert (tab.locator("pre").count() > 0) == (name == "bad")
                assert tab.locator("b").count() == 0, "nothing of a record is taken for a tag"
                body = tab.locator("body").bounding_box()
                assert body and body["width"] <= width
                if shots:
                    tab.screenshot(path=str(Path(shots) / f"backup-{name}-{scheme}-{width}.png"), full_page=True)
                context.close()
