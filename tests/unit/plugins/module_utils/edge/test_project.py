# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge's container: what it may do, and what it may not."""

from __future__ import annotations

import yaml

from ansible_collections.landfall.stack.plugins.module_utils.edge.project import EdgeConfig, compose


def test_the_container_may_do_little():
    one = yaml.safe_load(compose(EdgeConfig(), []))["services"]["nginx"]
    assert one["user"] == "101:101" and one["read_only"] is True
    assert one["cap_drop"] == ["ALL"] and one["security_opt"] == ["no-new-privileges:true"]
    assert one["mem_limit"] == "512m" and one["pids_limit"] == 512
    assert not [mount for mount in one["volumes"] if "docker.sock" in mount]
