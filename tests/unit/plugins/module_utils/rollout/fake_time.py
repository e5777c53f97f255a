# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time for tests: the engine's threads take turns, and the clock jumps to whoever wakes next.

So a drain of 30 s takes no time, and the same test takes the same turns every time.
"""

from __future__ import annotations

import itertools
import threading

NEVER = float("inf")


class Killed(BaseException):
    """Stands for kill -9: nothing catches it, and no thread outlives it."""


class Turn:
    """One thread that takes turns."""

    def __init__(self):
        self.baton = threading.Semaphore(0)
        self.wake = NEVER
        self.order = 0


class Task:
    """A piece of work in a thread of its own; what the engine sees as a Future."""

    def __init__(self, schedule, work, args):
        self.turn = Turn()
        self.waiting = []
        self._schedule, self._work, self._args = schedule, work, args
        self._done, self._value, self._problem = False, None, None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        self.turn.baton.acquire()
        try:
            if not self._schedule.dead:
                self._value = self._work(*self._args)
        except BaseException as problem:
            self._problem = problem
        self._done = True
        self._schedule.ended(self)

    def done(self):
        return self._done

    def result(self):
        self._schedule.wait_for(self)
        if self._problem is not None:
            raise self._problem
        return self._value

    def exception(self):
        self._schedule.wait_for(self)
        return self._problem


class Schedule:
    """The clock and the turns. ``on_sleep`` is called when the first thread goes to sleep, and may raise."""

    def __init__(self):
        self.now = 1_000.0
        self.dead = False
        self.on_sleep = None
        self.main = self.current = Turn()
        self._tasks = []
        self._orders = itertools.count()

    # what the engine gets in the place of a ThreadPoolExecutor
    def submit(self, work, *args):
        task = Task(self, work, args)
        self._tasks.append(task)
        self._awake(task.turn, self.now)
        return task

    def shutdown(self, wait=True):
        pass

    def time(self):
        return self.now

    def sleep(self, seconds):
        if self.on_sleep and self.current is self.main:
            self.on_sleep()
        self._awake(self.current, self.now + max(seconds, 0.001))
        self._pass_on(self.current)

    def wait_for(self, task):
        if not task.done():
            me = self.current
            me.wake = NEVER
            task.waiting.append(me)
            self._pass_on(me)

    def die(self):
        """From now on every thread that is given a turn ends."""
        self.dead = True
        raise Killed

    def check(self):
        if self.dead:
            raise Killed

    def end(self):
        """The process is over: its threads end with it. Called by the first thread."""
        self.dead = True
        for task in self._tasks:
            if not task.done():
                task.turn.baton.release()
            task.thread.join(10)
            assert task.done(), "a thread of the engine does not end"
        self.dead = False
        self._tasks.clear()
        self.current = self.main

    def _awake(self, turn, when):
        turn.wake, turn.order = when, next(self._orders)

    def _pass_on(self, me):
        following = self._following()
        if following is not me:
            following.baton.release()
            me.baton.acquire()
        self.check()

    def _following(self):
        turns = [self.main, *(task.turn for task in self._tasks if not task.done())]
        following = min(turns, key=lambda turn: (turn.wake, turn.order))
        assert following.wake < NEVER, "all threads wait for each other"
        self.now = max(self.now, following.wake)
        self.current = following
        return following

    def ended(self, task):
        if self.current is not task.turn:
            return
        if self.dead:
            self.current = self.main
            self.main.baton.release()
            return
        for turn in task.waiting:
            self._awake(turn, self.now)
        self._following().baton.release()
