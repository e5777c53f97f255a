# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes with pipes between them, of which every one has to end well; and what looks at the stream on its way."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Protocol

from ..backup.commands import Command
from ..backup.ports import BackupError
from .docker_command import told
from .process import base_env, die_with_parent
from .upload import PIPE, widen

CHUNK = 1 << 18
#: Seconds in which a producer fills a part of a pipe of 1 MB, and not all of it, unless it makes 1 GB/s.
GATHER = 0.001
#: Seconds a process may take to end after its pipes are closed.
LINGER = 60.0


class Tap(Protocol):
    """Looks at the plain stream. :ivar hungry: whether it wants more of it"""

    @property
    def hungry(self) -> bool: ...

    def feed(self, chunk: bytes) -> None:
        """A piece of it. :raises BackupError: the stream is not what it should be"""

    def finish(self) -> None:
        """Its end, after the producer ended well. :raises BackupError: the stream is not what it should be"""


class Running:
    """One process of a pipeline; what it says on stderr is kept."""

    def __init__(self, command: Command, stdin: int | IO[bytes], stdout: int | IO[bytes]) -> None:
        self.command = command
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self.process = subprocess.Popen(
                list(command.argv),
                cwd="/",
                env={**base_env(), **command.env},
                stdin=stdin,
                stdout=stdout,
                stderr=self._said,
                preexec_fn=die_with_parent,
            )
        except OSError as problem:
            self._said.close()
            raise BackupError(f"{command.argv[0]} cannot be started: {problem.strerror or problem}") from problem

    def said(self) -> str:
        """The last lines of its stderr."""
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, size - 4000))
        return told(self._said.read().decode(errors="replace"))

    def fault(self) -> str:
        """How it ended, "" when well."""
        code = self.process.returncode
        if code == 0:
            return ""
        if any(word in self.said() for word in self.command.tolerated.get(code, ())):
            return ""
        how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        return f"{self.command.name} {how}: {self.said()}"

    def warning(self) -> str:
        """What it said though it counts as well."""
        return self.said() if self.process.returncode else ""

    def kill(self) -> None:
        """End it now."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Pipeline:
    """producer → taps → filters → :attr:`handle`, a pipe to read from. :ivar count: bytes of the producer so far"""

    def __init__(self, producer: Command, filters: Sequence[Command] = (), taps: Sequence[Tap] = ()) -> None:
        self._all: list[Running] = []
        self._taps = taps
        self._tap_error: BaseException | None = None
        self.count = 0
        self._open: list[int] = []
        try:
            first = Running(producer, subprocess.DEVNULL, subprocess.PIPE)
            self._all.append(first)
            read, write = self._pipe()
            self._sink = write
            for command in filters:
                out, into = self._pipe()
                self._all.append(Running(command, read, into))
                self._close(read)
                self._close(into)
                read = out
            self.handle = read
        except BaseException:
            self.kill()
            raise
        self._pump = threading.Thread(target=self._run, name="pump", daemon=True)
        self._pump.start()

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        widen(ends[0])
        self._open += ends
        return ends

    def _close(self, handle: int) -> None:
        if handle in self._open:
            self._open.remove(handle)
            os.close(handle)

    def _run(self) -> None:
        try:
            handle = self._all[0].process.stdout.fileno()  # type: ignore[union-attr]
            room = widen(handle)
            while any(tap.hungry for tap in self._taps) and (chunk := os.read(handle, CHUNK)):
                for tap in self._taps:
                    tap.feed(chunk)
                write_all(self._sink, chunk)
                self.count += len(chunk)
            # What nobody looks at goes from pipe to pipe within the kernel.
            while moved := os.splice(handle, self._sink, PIPE):
                self.count += moved
                # pg_dump writes 4 KB at a time. Let some gather: half of what is spent here is on waking others up.
                if moved < room // 2:
                    time.sleep(GATHER)
        except BaseException as problem:  # told by finish()
            self._tap_error = problem
            self._all[0].process.kill()
        finally:
            # With a producer that died the filters must not end as if all were well: their output is aborted anyway.
            self._close(self._sink)

    def finish(self) -> list[str]:
        """Wait for all, after the last pipe was read to its end. Warnings back.

        :raises BackupError: a process did not end with 0, or a tap is not content
        """
        self._pump.join(LINGER)
        until = time.monotonic() + LINGER
        for one in self._all:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.process.wait(max(0.1, until - time.monotonic()))
            if one.process.returncode is None:
                one.kill()
        faults = [fault for one in self._all if (fault := one.fault())]
        if self._tap_error is not None and not isinstance(self._tap_error, OSError):
            faults.insert(0, str(self._tap_error))
        if faults or self._tap_error is not None:
            raise BackupError("; ".join(faults) or f"the stream broke off: {self._tap_error}")
        for tap in self._taps:
            tap.finish()
        return [warning for one in self._all if (warning := one.warning())]

    def kill(self) -> None:
        """End everything, whatever state it is in."""
        for one in self._all:
            one.kill()
        for handle in list(self._open):
            with contextlib.suppress(OSError):
                self._close(handle)

    def close(self) -> None:
        """Give the pipes back."""
        for handle in list(self._open):
            with contextlib.suppress(OSError):
                self._close(handle)


def write_all(handle: int, data: bytes) -> None:
    """Write all of it to a pipe."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def drain(chunks: Iterable[bytes], commands: Sequence[Command], output: IO[bytes] | None = None) -> None:
    """Feed chunks through processes; the last one's stdout goes to ``output``, or nowhere.

    :raises BackupError: the chunks break off, or a process does not end with 0
    """
    running: list[Running] = []
    handles: list[int] = []
    try:
        read, write = os.pipe()
        handles += [read, write]
        for at, command in enumerate(commands):
            last = at == len(commands) - 1
            after, into = (-1, -1) if last else os.pipe()
            running.append(Running(command, read, (output or subprocess.DEVNULL) if last else into))
            os.close(read)
            handles.remove(read)
            if not last:
                os.close(into)
                handles.append(after)
                read = after
        widen(write)
        try:
            for chunk in chunks:
                write_all(write, chunk)
        except BrokenPipeError:
            pass  # a process ended early: its status tells
        os.close(write)
        handles.remove(write)
        for one in running:
            one.process.wait()
        faults = [fault for one in running if (fault := one.fault())]
        if faults:
            raise BackupError("; ".join(faults))
    finally:
        for one in running:
            one.kill()
        for handle in handles:
            with contextlib.suppress(OSError):
                os.close(handle)


class Counter:
    """A tap that counts, and keeps both ends. :param check: (head, tail, count) → why it is wrong, or "" """

    hungry = True

    def __init__(self, check: Callable[[bytes, bytes, int], str]) -> None:
        self.count, self._head, self._tail, self._check = 0, b"", b"", check

    def feed(self, chunk: bytes) -> None:
        self.count += len(chunk)
        if len(self._head) < 512:
            self._head += chunk[: 512 - len(self._head)]
        self._tail = (self._tail + chunk[-512:])[-512:]

    def finish(self) -> None:
        fault = self._check(self._head, self._tail, self.count)
        if fault:
            raise BackupError(fault)


class Lister:
    """A tap that feeds a program until it has read enough; what it prints is judged at the end.

    :param judge: its output → why it is wrong, or ""
    """

    def __init__(self, command: Command, judge: Callable[[str], str]) -> None:
        self._judge, self._output = judge, tempfile.TemporaryFile()  # noqa: SIM115
        self._running = Running(command, subprocess.PIPE, self._output)

    @property
    def hungry(self) -> bool:
        stdin = self._running.process.stdin
        return stdin is not None and not stdin.closed

    def feed(self, chunk: bytes) -> None:
        stdin = self._running.process.stdin
        if stdin is not None and not stdin.closed:
            try:
                stdin.write(chunk)
            except BrokenPipeError:
                self._shut()

    def _shut(self) -> None:
        with contextlib.suppress(OSError):
            if self._running.process.stdin is not None:
                self._running.process.stdin.close()

    def finish(self) -> None:
        self._shut()
        try:
            self._running.process.wait(LINGER)
        except subprocess.TimeoutExpired:
            self._running.kill()
        fault = self._running.fault()
        if not fault:
            self._output.seek(0)
            fault = self._judge(self._output.read().decode(errors="replace"))
        if fault:
            raise BackupError(fault)

    def kill(self) -> None:
        """End it."""
        self._shut()
        self._running.kill()
