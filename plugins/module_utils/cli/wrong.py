# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ends a verb."""

from __future__ import annotations


class Wrong(Exception):
    """What cannot be done, and what to do instead."""
