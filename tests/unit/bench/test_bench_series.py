"""The bench's arithmetic: what the published numbers rest on."""

from __future__ import annotations

import io

import pytest
from bench.rollout import records
from bench.rollout.records import Record
from bench.rollout.series import EARLY, gap, histogram, judge, percentile, summarize, timeline


def steady(kind="get_new", begin=100.0, count=100, every=0.1, latency=0.02, hole=(), outcome="status 502"):
    """One request each `every` seconds; those due in `hole` fail."""
    out = []
    for number in range(count):
        at = begin + number * every
        bad = bool(hole) and hole[0] <= at < hole[1]
        out.append(Record(at, kind, latency, outcome if bad else records.OK, "1.0.0"))
    return out


@pytest.mark.parametrize(
    ("share", "wanted"), [(50, 50), (99, 99), (100, 100), (1, 1), (0, 1)], ids=lambda value: str(value)
)
def test_percentile_is_the_nearest_rank(share, wanted):
    assert percentile(range(1, 101), share) == wanted


def test_percentile_of_nothing_and_of_one():
    assert percentile([], 99) == 0.0
    assert percentile([7.0], 1) == percentile([7.0], 99) == 7.0


def test_histogram_names_the_most_frequent_first():
    assert list(histogram(["b", "a", "c", "c"]).items()) == [("c", 2), ("a", 1), ("b", 1)]


def test_gap_leaves_out_what_the_schedule_itself_leaves():
    due = [0.0, 1.0, 2.0, 3.0, 4.0]
    assert gap(due, due, 0.0, 4.0) == pytest.approx(0.0)
    assert gap([0.0, 1.0, 4.0], due, 0.0, 4.0) == pytest.approx(2.0)  # 3 s without an answer, 1 s by the schedule


def test_gap_counts_an_outage_that_lasts_to_the_end_or_from_the_begin():
    due = [float(second) for second in range(11)]
    assert gap([0.0, 1.0], due, 0.0, 10.0) == pytest.approx(8.0)
    assert gap([9.0, 10.0], due, 0.0, 10.0) == pytest.approx(8.0)
    assert gap([], due, 0.0, 10.0) == pytest.approx(9.0)


def test_gap_shows_answers_that_came_but_came_late():
    due = [0.0, 1.0, 2.0, 3.0]
    assert gap([0.0, 5.0, 5.0, 5.0], due, 0.0, 5.0) == pytest.approx(4.0)


def test_summary_of_a_calm_run():
    short = summarize(steady())
    assert (short.requests, short.failed, short.reasons) == (100, 0, {})
    assert short.longest_gap_s < 0.02
    assert short.p50_ms == short.p99_ms == 20.0
    assert short.versions == {"1.0.0": 100}


def test_summary_finds_failures_their_reasons_and_the_gap():
    short = summarize(steady(hole=(103.0, 105.0)) + steady("post_keep", count=10, every=1.0, hole=(102.5, 104.5)))
    assert short.failed == 20 + 2
    assert short.reasons == {"status 502": 22}
    assert short.failed_kinds == {"get_new": 20, "post_keep": 2}
    assert short.gaps_s["get_new"] == pytest.approx(2.0, abs=0.02)
    assert short.longest_gap_s == pytest.approx(2.0, abs=0.02)


def test_latencies_during_deploys_stand_apart_and_slow_kinds_stand_aside():
    found = steady(count=50) + steady(begin=105.0, count=50, latency=0.2) + steady("slow", count=5, latency=5.0)
    short = summarize(found, [(105.0, 110.0)])
    assert (short.p99_ms, short.p50_during_ms, short.p99_during_ms) == (20.0, 200.0, 200.0)


def test_a_slow_kind_has_no_gap_for_being_slow():
    assert summarize(steady("slow", count=20, every=0.5, latency=5.0)).longest_gap_s == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(
    ("switches", "outcome"),
    [([], EARLY), ([101.0], records.RECONNECTED), ([95.0, 108.0], EARLY), ([111.0], EARLY)],
    ids=["no switch at all", "after the window", "a later switch counts", "before any switch"],
)
def test_goodbyes_count_as_reconnected_only_after_the_drain_window(switches, outcome):
    (judged,) = judge([Record(110.0, "ws_long", 0.1, records.RECONNECTED)], switches, 8.0)
    assert judged.outcome == outcome
    assert judged.ok is (outcome == records.RECONNECTED)


def test_judge_leaves_everything_else_alone():
    found = [*steady(count=3), Record(1.0, "ws", 0.1, "closed 1006")]
    assert judge(found, [], 8.0) == found


def test_timeline_has_no_holes_and_all_requests():
    found = [*steady(count=20, hole=(100.5, 101.0)), Record(105.1, "get_new", 0.3, records.OK, "1.0.1")]
    slots = timeline(found, 0.5)
    assert [slot.at for slot in slots] == [index * 0.5 for index in range(11)]
    assert sum(slot.ok + slot.failed for slot in slots) * 0.5 == pytest.approx(len(found))
    assert slots[1].failed == 10.0 and slots[0].failed == 0.0
    assert slots[-1].versions == (("1.0.1", 1),) and slots[-1].p99 == 0.3
    assert slots[5].ok == 0.0 and slots[5].versions == ()


def test_timeline_and_summary_of_nothing():
    assert timeline([]) == []
    assert summarize([]).requests == 0


def test_records_come_back_as_written_and_torn_lines_are_left_out():
    stream = io.StringIO()
    first = Record(1700000000.25, "ws", 0.0125, "closed 1012", "1.0.0", "a tab\there and\na line")
    records.write(first, stream)
    records.write(Record(1700000000.0, "get_new", 0.5, records.OK), stream)
    back = records.parse([*stream.getvalue().splitlines(), "1700000001.0\tget"])
    assert [record.kind for record in back] == ["get_new", "ws"]
    assert back[1] == first._replace(detail="a tab here and a line")
