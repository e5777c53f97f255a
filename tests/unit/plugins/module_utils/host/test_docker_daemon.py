# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.host.docker_daemon import plan

DEFAULTS = {"log-driver": "local", "log-opts": {"max-size": "10m"}, "live-restore": True}


def again(config: dict, before, options: dict | None = None, loaded: bool = True):
    """Plan once more on the host a plan was carried out on; config is what stands in the file by now."""
    return plan(DEFAULTS, options or {}, json.dumps(config), json.dumps(before.record), loaded)


def test_a_bare_host_gets_the_defaults_and_a_restart():
    first = plan(DEFAULTS, {}, "")
    assert first.config == DEFAULTS
    assert first.write
    assert first.restart == ["log-driver", "log-opts"]


def test_the_second_run_does_nothing():
    first = plan(DEFAULTS, {"debug": True}, "")
    assert not again(first.config, first, {"debug": True}).act


def test_a_hand_wins_over_defaults_and_the_inventory_over_both():
    made = plan(DEFAULTS, {"debug": True}, '{"live-restore": false, "debug": false, "labels": ["a=b"]}')
    assert made.config == {**DEFAULTS, "live-restore": False, "labels": ["a=b"], "debug": True}


def test_what_a_hand_wrote_comes_back_when_the_inventory_lets_go():
    first = plan(DEFAULTS, {"debug": True}, '{"debug": false}')
    second = again(first.config, first)
    assert second.config["debug"] is False
    assert second.reload == ["debug"]


def test_what_the_inventory_set_goes_when_it_lets_go():
    first = plan(DEFAULTS, {"registry-mirrors": ["http://r:5000"]}, "")
    second = again(first.config, first)
    assert "registry-mirrors" not in second.config
    assert second.reload == ["registry-mirrors"]
    assert second.restart == []


def test_a_value_changed_by_hand_afterwards_is_a_hands():
    first = plan(DEFAULTS, {}, "")
    second = again({**first.config, "live-restore": False}, first)
    assert second.config["live-restore"] is False
    assert not second.write


def test_another_log_driver_does_not_get_the_rotation():
    assert "log-opts" not in plan(DEFAULTS, {"log-driver": "journald"}, "").config
    assert plan(DEFAULTS, {"log-driver": "syslog", "log-opts": {"tag": "x"}}, "").config["log-opts"] == {"tag": "x"}


def test_a_run_that_broke_off_before_the_restart_is_finished():
    first = plan(DEFAULTS, {}, "")
    wanted = {"data-root": "/srv/docker"}
    broken_off = again({**first.config, **wanted}, first, wanted, loaded=False)
    assert broken_off.restart == ["data-root"]
    assert again({**first.config, **wanted}, first, wanted, loaded=True).restart == []


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_file_is_named(text):
    with pytest.raises(ValueError, match=r"/etc/docker/daemon\.json .*Mend it"):
        plan(DEFAULTS, {}, text)
