# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check for corrupt pages while a file is read: on a connection of its own, since it keeps one processor busy for
as long as a third of the plan takes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from . import sqlite


@contextlib.contextmanager
def checked(db: sqlite.Database, lock_timeout: float) -> Iterator[None]:
    """Check a file while the block reads it.

    :raises Refused: when pages are corrupt, whatever the block has met by then
    """
    with sqlite.beside(db, lock_timeout) as other:
        found: list[Exception] = []

        def check() -> None:
            try:
                sqlite.require_sound(other)
            except Exception as problem:
                found.append(problem)

        thread = threading.Thread(target=check)
        thread.start()
        try:
            yield
        except Exception:
            thread.join()
            if found:
                raise found[0] from None
            raise
        except BaseException:
            other.raw.interrupt()
            raise
        finally:
            thread.join()
        if found:
            raise found[0]
