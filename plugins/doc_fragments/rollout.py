# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that roll a stack have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of landfall.stack.rollout and landfall.stack.rotation."""

    DOCUMENTATION = r"""
options:
  root:
    description: Where stacks live on the host.
    type: path
    default: /opt/landfall
  routes_dir:
    description: Where the edge looks for routes files.
    type: path
    default: /etc/landfall/edge/stacks
  wait_deadline:
    description: Seconds a service has to get well, unless its C(x-landfall.rollout.deadline) says otherwise.
    type: int
    default: 120
  lock_timeout:
    description: Seconds to wait for another run on the same stack.
    type: int
    default: 60
"""
