# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's interrupt: a signal, or the connection that closes behind a module."""

from __future__ import annotations

import os
import select
import signal
import threading
from types import FrameType

from ..rollout.errors import Interrupted


class Interrupts:
    """Turns the first signal into :class:`Interrupted` in the main thread; later ones are ignored."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._late = False

    def install(self) -> None:
        """Listen from now on. Ctrl-C on the controller ends SSH, which closes this process's standard output."""
        for number in self.SIGNALS:
            signal.signal(number, self._caught)
        threading.Thread(target=self._listen, daemon=True, name="landfall-interrupts").start()

    def too_late(self) -> None:
        """From here on an interrupt changes nothing."""
        self._late = True

    def _caught(self, number: int, _frame: FrameType | None) -> None:
        if self._late:
            return
        self._late = True
        raise Interrupted(signal.Signals(number).name)

    def _listen(self) -> None:
        poll = select.poll()
        # No event is asked for: an error or a hang-up is reported always, and a file never has one.
        poll.register(1, 0)
        if poll.poll() and not self._late:
            os.kill(os.getpid(), signal.SIGHUP)
