# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong at the edge."""

from __future__ import annotations


class EdgeError(Exception):
    """The edge could not do what was asked; ``str()`` says what is wrong, where, and what to do."""
