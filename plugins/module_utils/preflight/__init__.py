# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of a host and its inventory before anything changes."""

from __future__ import annotations

from . import host, network
from .facts import Facts, Policy
from .findings import Finding, without

CHECKS = (
    host.check_os,
    host.check_architecture,
    host.check_init,
    host.check_memory,
    host.check_disk,
    host.check_clock,
    host.check_kernel,
    host.check_apt,
    host.check_docker,
    host.check_conflicts,
    network.check_ports,
    network.check_dns,
    network.check_mirrors,
    network.check_registry,
)


def run_checks(facts: Facts, policy: Policy) -> list[Finding]:
    """Return the findings of every host check that policy does not skip, in the order of CHECKS."""
    found: list[Finding] = []
    for check in CHECKS:
        found += check(facts, policy)
    return without(found, policy.skip)
