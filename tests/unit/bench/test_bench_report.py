"""The bench's page, its totals, the load's mix, and how a module's result is read out of a playbook's output."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest
from bench.rollout.deploys import module_result
from bench.rollout.load import mix
from bench.rollout.machine import Sample, share
from bench.rollout.records import OK, Record
from bench.rollout.report import page
from bench.rollout.result import Case
from bench.rollout.series import timeline
from bench.rollout.svg import Timeline
from bench.rollout.totals import totals


def a_case(name="rollouts", failed=(), **how):
    case = Case(name, "words with <markup> & more", 8.0, **how)
    case.windows = [(102.0, 106.0)]
    case.mark("1: 1.0.1", "begin", 102.0)
    case.mark("switch", "switch", 104.0)
    case.mark("end", "end", 106.0)
    case.overheads_s = [0.7, 1.1, 0.9]
    case.loaded(
        [
            Record(100 + n / 10, "get_new", 0.02, "status 502" if n in failed else OK, "1.0.0" if n < 40 else "1.0.1")
            for n in range(100)
        ]
    )
    return case


def test_timeline_is_well_formed_and_shows_failures_only_where_there_are_any():
    for failed in ((), (50, 51)):
        case = a_case(failed=failed)
        drawn = Timeline(timeline(case.records), 0.5, 100.0, case.windows).draw(case.markers, 'a "title"')
        root = ElementTree.fromstring(drawn)
        classes = [element.get("class") for element in root.iter()]
        assert ("bad" in classes) is bool(failed)
        assert classes.count("deploy") == 1 and classes.count("switch") == 1 and classes.count("begin") == 1
        assert "v0" in classes and "v1" in classes


def test_page_escapes_words_and_asks_for_nothing_from_elsewhere():
    cases = [a_case(), a_case("peer recreate", failed=range(30, 60))]
    cases[0].problems.append("bench-web-3 (1.0.0) is left behind, exited <b>")
    text = page(cases, totals(cases[:1], cases[1:], None), ["2 cores"])
    assert "words with &lt;markup&gt; &amp; more" in text and "exited &lt;b&gt;" in text
    assert "http://" not in text and "https://" not in text and "<script" not in text
    assert text.count("<svg") == 2


def test_totals_keep_faults_of_the_machine_apart():
    reboot = a_case("reboot", failed=range(20), machine_fault=True)
    jarvis = Case("jarvis")
    jarvis.more["ratio_to_docker_rollout"] = 0.35
    result = totals([a_case(failed=(3,)), reboot], [a_case("peer recreate", failed=range(50))], jarvis)
    assert (result["requests"], result["failed"]) == (100, 1)
    assert result["overhead_s_per_wave"] == 0.9 and result["overhead_s_worst_wave"] == 1.1
    assert result["ratio_to_docker_rollout"] == 0.35
    assert result["peers"]["recreate"]["failed"] == 50
    assert result["cases"]["reboot"]["failed"] == 20
    assert json.loads(json.dumps(result)) == result


def test_a_case_is_good_when_nothing_failed_that_should_not_have():
    assert a_case().good
    assert not a_case(failed=(1,)).good
    assert a_case(failed=(1,), machine_fault=True).good
    wrong = a_case(machine_fault=True)
    wrong.problems.append("orphan")
    assert not wrong.good


@pytest.mark.parametrize("total", [60, 150, 300])
def test_mix_adds_up_to_the_rate_asked_for(total):
    shared = sum(mix.rates(total).values())
    websocket = mix.SESSIONS_PER_S * (mix.MESSAGES + 1) + mix.LONG_LIVED / mix.LONG_EVERY_S
    assert shared + websocket == pytest.approx(total)


def test_mix_refuses_a_rate_that_leaves_nothing():
    with pytest.raises(ValueError, match="too few"):
        mix.rates(30)


def test_the_module_s_result_is_found_in_the_playbook_s_output():
    output = (
        'ok: [embedded] => {"changed": false, "stat": {"exists": true}}\n'
        'changed: [embedded] => {"changed": true, "release": "r2", "waves": [{"overhead_s": 0.4}], "timings": {}}\n'
        'ok: [embedded] => {\n    "msg": ["done"]\n}\nskipping: [embedded] => {broken\n'
    )
    assert module_result(output)["release"] == "r2"
    assert module_result("PLAY RECAP") == {}


def test_the_cpu_s_shares_are_the_bench_s_own_and_what_others_used():
    assert share(Sample(10, 100, 5), Sample(26, 120, 13)) == (0.4, 0.4)
    assert share(Sample(10, 100, 5), Sample(12, 120, 13)) == (0.4, 0.0)  # clocks that differ a little
