# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout's times as bars and as a page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from fake_host import UNHEALTHY, after, service, stack_file

from ansible_collections.landfall.stack.plugins.module_utils.cli.main import main
from ansible_collections.landfall.stack.plugins.module_utils.rollout.journal import Entry
from ansible_collections.landfall.stack.plugins.module_utils.rollout.release import Release
from ansible_collections.landfall.stack.plugins.module_utils.rollout.run import DeployFailed
from ansible_collections.landfall.stack.plugins.module_utils.rollout.timeline import KINDS, timeline
from ansible_collections.landfall.stack.plugins.module_utils.rollout.timeline_page import page

RID = "20261121T044200Z-00000001"


def shop(version, **web):
    """Two waves: ``web`` waits for ``api``."""
    return stack_file(
        api=service(f"app:{version}", 2, path="/api"),
        web=service(f"app:{version}", 2, path="/", depends_on=after("api"), **web),
    )


def kept(world):
    """What the host keeps of the newest release: record, report, journal."""
    record = world.store.releases()[-1]
    try:
        report = json.loads(world.store.read(record.id, "report.json"))
    except OSError:
        report = {}
    return record, report, world.store.journal()


def bars(drawn, label, title=None):
    """(kind, start, end) of a row's bars, rounded."""
    return [
        (bar.kind, round(bar.start, 2), round(bar.end, 2))
        for group in drawn.groups
        for row in group.rows
        for bar in row.bars
        if row.label == label and title in (None, group.title)
    ]


def svg(text):
    """The picture of a page; it is well-formed."""
    return ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])


def rects(text):
    return svg(text).findall("rect")


def entry(seconds, step, release=RID, **detail):
    return Entry(f"2026-11-21T04:42:{seconds:02}Z", release, step, detail)


def well(container, after_s):
    return {"container": container, "history": [f"{after_s}s healthy"], "well_after_s": after_s}


def a_report():
    """One wave of a database and a service in one batch, 10 s, then 5 s watched."""
    return {
        "waves": [{"wave": 1, "services": ["db", "web"], "healthy_s": 6.0, "switched_s": 7.0, "app_s": 5.0,
                   "hooks_s": 0.0, "hold_s": 0.0, "switch_s": 0.4, "overhead_s": 1.0}],
        "services": [
            {"service": "db", "strategy": "recreate", "reason": "it is a database", "changes": ["image"],
             "old": ["toy-db-1"], "new": ["toy-db-1"], "kept": [], "health": [well("toy-db-1", 2.0)]},
            {"service": "web", "strategy": "rolling", "reason": "", "changes": ["image"], "old": ["toy-web-1"],
             "new": ["toy-web-3", "toy-web-4"], "kept": [],
             "health": [well("toy-web-3", 3.0), well("toy-web-4", 2.5)],
             "drain": {"toy-web-1": {"drained": False, "drain_s": 4.0, "gone_s": 4.5}}},
            {"service": "mail", "replicas": 1},
        ],
        "timings": {"total_s": 15.0, "app_s": 5.0, "bake_s": 5.0, "drain_s": 0.5, "overhead_s": 3.5},
    }  # fmt: skip


def test_the_report_counts():
    drawn = timeline("toy", RID, a_report(), [], {})
    assert drawn.exact and drawn.total == 15.0
    assert [group.title for group in drawn.groups] == ["", "wave 1"]
    assert bars(drawn, "all services") == [("prepare", 0.0, 2.5), ("bake", 9.5, 14.5), ("drain", 14.5, 15.0)]
    # Stopped first: a second goes by until it is started again; then web's turn comes.
    assert bars(drawn, "db") == [("replace", 2.5, 3.5), ("start", 3.5, 5.5)]
    assert bars(drawn, "web") == [
        ("start", 5.5, 8.5),
        ("wait", 8.5, 9.1),
        ("switch", 9.1, 9.5),
        ("drain", 9.5, 13.5),
        ("stop", 13.5, 14.0),
    ]


def test_batches_and_who_went_after_each_come_from_the_journal():
    report = a_report()
    report["waves"][0].update(services=["web"], healthy_s=3.5, switched_s=8.0, app_s=5.5, switch_s=1.0)
    report["services"][1]["drain"]["toy-web-2"] = {"drained": True, "drain_s": 1.0, "gone_s": 1.0}
    journal = [
        entry(0, "pulled"),
        entry(2, "wave 1 started", containers=["toy-web-3"]),
        entry(2, "wave 1 gated", services=["web"]),
        entry(5, "wave 1 switched"),
        entry(5, "draining", service="web", containers=["toy-web-1"]),
        entry(6, "wave 1 started", containers=["toy-web-4"]),
        entry(9, "wave 1 switched"),
        entry(9, "draining", service="web", containers=["toy-web-2"]),
        entry(20, "sealed"),
        # A way back to this release, later, is another story.
        entry(50, "planned"),
        entry(51, "wave 1 started", containers=["toy-web-9"]),
    ]
    found = bars(timeline("toy", RID, report, journal, {}), "web")
    assert [kind for kind, *_times in found] == [
        "start", "wait", "switch", "drain", "stop", "start", "wait", "switch", "drain",
    ]  # fmt: skip
    starts = [(begin, end) for kind, begin, end in found if kind == "start"]
    assert [round(end - begin, 2) for begin, end in starts] == [3.0, 2.5]
    assert starts[0][1] < starts[1][0]
    drains = [round(end - begin, 2) for kind, begin, end in found if kind == "drain"]
    assert drains == [4.0, 1.0]


def test_a_failure_is_drawn_from_the_journal():
    evidence = {"message": "service web: not well", "containers": [{"container": "toy-web-3", "service": "web"}]}
    journal = [
        entry(0, "written"),
        entry(1, "pulled"),
        entry(3, "created"),
        entry(4, "hook migrate", service="api"),
        entry(6, "wave 1 started", containers=["toy-api-2", "toy-web-3"]),
        entry(6, "wave 1 gated", services=["api", "web"]),
        entry(20, "failed", message="service web: not well"),
        entry(21, "rolled back", to="former"),
        entry(22, "planned", release="former"),
        entry(25, "wave 1 switched", release="former"),
        entry(40, "written", release="later"),
    ]
    drawn = timeline("toy", RID, {}, journal, evidence)
    assert not drawn.exact
    assert bars(drawn, "web") == [("start", 6.0, 20.0)] == bars(drawn, "api")
    assert [row.label for group in drawn.groups for row in group.rows if any(bar.failed for bar in row.bars)] == ["web"]
    assert bars(drawn, "all services") == [("prepare", 0.0, 4.0), ("hook", 4.0, 6.0), ("back", 21.0, 25.0)]
    text = page(Release(RID, "toy", "d", "c", outcome="failed", evidence=evidence), {}, journal)
    assert len([one for one in rects(text) if "failed" in one.get("class", "")]) == 1
    assert "in whole seconds" in text


@pytest.mark.parametrize("report", [{}, {"waves": []}, {"waves": [], "services": [], "timings": {}}])
def test_nothing_is_known(report):
    text = page(Release(RID, "toy", "d", "c"), report, [])
    assert "<svg" not in text and "Nothing is known" in text


def test_nothing_of_a_stack_becomes_markup():
    bad = "<script>alert('\"&')</script>"
    evidence = {
        "message": bad,
        "containers": [{"container": bad, "status": bad, "health": [{"output": bad}], "log": [bad]}],
        "hook": {"hook": bad, "service": bad, "exit_code": 1, "log": [bad]},
        "requests": [{"status": 502, "seconds": 0.1, "path": bad, "upstream": bad}],
    }
    report = a_report()
    report["plan"] = [bad]
    report["waves"][0]["services"] = [bad]
    report["services"][1].update(service=bad, changes=[bad], reason=bad, strategy="rolling")
    report["services"][1]["health"] = [{**well(bad, 1.0), "history": [bad]}]
    record = Release(RID, "toy", "d", "c", who=bad, version=bad, why=bad, commit=bad, outcome="failed",
                     evidence=evidence)  # fmt: skip
    text = page(record, report, [])
    seen = []
    reader = HTMLParser()
    reader.handle_starttag = lambda tag, _attributes: seen.append(tag)
    reader.feed(text)
    assert "script" not in seen and "<script" not in text and text.count("&lt;script&gt;") > 10
    svg(text)


def test_the_page_asks_for_nothing_from_elsewhere():
    text = page(Release(RID, "toy", "d", "c"), a_report(), [])
    assert "http" not in text and "src=" not in text and "@import" not in text and "url(" not in text
    assert "prefers-color-scheme: dark" in text
    assert all(f"--{kind}:" in text for kind in KINDS)
    # One table row for each service that was replaced, none for the others.
    assert text.count("<tr>") == 3 and "mail" not in text and "window ran out" in text


def test_of_a_rollout_and_of_one_that_failed(world, capsys):
    world.deploy(compose=shop(1))
    world.deploy(compose=shop(2, rollout={"batch": 1}))
    record, report, journal = kept(world)
    drawn = timeline("toy", record.id, report, journal, {})
    assert [group.title for group in drawn.groups] == ["", "wave 1", "wave 2"]
    assert [kind for kind, *_times in bars(drawn, "web", "wave 2")].count("start") == 2
    for group in drawn.groups:
        for row in group.rows:
            assert all(0 <= bar.start <= bar.end <= drawn.total + 0.01 for bar in row.bars)
    assert len(rects(page(record, report, journal))) >= 8

    world.fates["app:3"] = UNHEALTHY
    with pytest.raises(DeployFailed):
        world.deploy(compose=shop(3))
    record, report, journal = kept(world)
    assert not report
    drawn = timeline("toy", record.id, report, journal, record.evidence)
    assert [bar.failed for group in drawn.groups for row in group.rows if row.label == "api" for bar in row.bars] == [
        True
    ]
    # The same on the host: the newest release, or one that is named.
    where = ["--root", world.store.root]
    capsys.readouterr()
    assert main([*where, "timeline", "toy"]) == 0
    assert capsys.readouterr().out == page(record, report, journal)
    assert main([*where, "timeline", "toy", world.store.current()]) == 0
    assert "sealed" in capsys.readouterr().out
    assert main([*where, "timeline", "toy", "nope"]) == 1
    assert "there is no release 'nope'" in capsys.readouterr().err
