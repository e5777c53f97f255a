# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host for the engine's tests."""

from __future__ import annotations

import os

import pytest
from fake_host import World

from ansible_collections.landfall.stack.plugins.module_utils.rollout import executor


@pytest.fixture(name="new_world")
def _new_world(tmp_path, monkeypatch):
    """Makes worlds; what must never happen in one fails the test."""
    worlds = []

    def made():
        world = World(tmp_path / str(len(worlds)))
        (tmp_path / str(len(worlds))).mkdir()
        worlds.append(world)
        # One at a time: its threads take turns.
        monkeypatch.setattr(executor, "ThreadPoolExecutor", lambda **_kw: world.schedule)
        return world

    # The disk's own patience is not what is tested here.
    monkeypatch.setattr(os, "sync", lambda: None)
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    yield made
    assert [fault for world in worlds for fault in world.faults] == []


@pytest.fixture(name="world")
def _world(new_world):
    return new_world()
