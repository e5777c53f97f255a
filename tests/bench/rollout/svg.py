"""The timeline of one case as inline SVG: requests per second, failures, p99, who answered, deploys and switches."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .result import Marker
from .series import Slot

WIDTH, LEFT, RIGHT = 1120, 46, 10
RATE_TOP, RATE_HEIGHT = 34, 110
P99_TOP, P99_HEIGHT = 162, 46
VERSION_TOP, VERSION_HEIGHT = 222, 12
AXIS_TOP, HEIGHT = 236, 262
#: versions are told apart by these classes, in the order they appear
VERSION_CLASSES = 6


def _ceiling(value: float) -> float:
    """The next round number, for the top of an axis."""
    for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 300, 500, 1000, 2000, 5000):
        if value <= step:
            return step
    return value


class Timeline:
    def __init__(
        self, slots: Sequence[Slot], step: float, origin: float, windows: Sequence[tuple[float, float]]
    ) -> None:
        self.slots, self.step, self.origin, self.windows = slots, step, origin, windows
        self.length = max(step, len(slots) * step)
        self.parts: list[str] = []

    def x(self, seconds: float) -> float:
        return LEFT + min(max(seconds, 0.0), self.length) / self.length * (WIDTH - LEFT - RIGHT)

    def _area(self, values: Sequence[float], base: Sequence[float], top: float, css: str) -> None:
        """A stepped area between `base` and `base + values`."""
        if not any(values):
            return

        def y(value: float) -> float:
            return RATE_TOP + RATE_HEIGHT * (1 - min(value, top) / top)

        upper, lower = [], []
        for index, (value, under) in enumerate(zip(values, base, strict=True)):
            left, right = self.x(index * self.step), self.x((index + 1) * self.step)
            upper += [f"{left:.1f},{y(under + value):.1f}", f"{right:.1f},{y(under + value):.1f}"]
            lower += [f"{left:.1f},{y(under):.1f}", f"{right:.1f},{y(under):.1f}"]
        self.parts.append(f'<polygon class="{css}" points="{" ".join(upper + lower[::-1])}"/>')

    def _windows(self) -> None:
        for begin, end in self.windows:
            left, right = self.x(begin - self.origin), self.x(end - self.origin)
            self.parts.append(
                f'<rect class="deploy" x="{left:.1f}" y="{RATE_TOP}" width="{max(1, right - left):.1f}" '
                f'height="{VERSION_TOP - RATE_TOP}"><title>deploy, {end - begin:.1f} s</title></rect>'
            )

    def _rates(self) -> None:
        top = _ceiling(max((slot.ok + slot.failed for slot in self.slots), default=1) or 1)
        good = [slot.ok for slot in self.slots]
        self._area(good, [0.0] * len(good), top, "ok")
        self._area([slot.failed for slot in self.slots], good, top, "bad")
        for value in (0.0, top):
            y = RATE_TOP + RATE_HEIGHT * (1 - value / top)
            self.parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        self.parts.append(f'<text class="tick" x="{LEFT - 6}" y="{RATE_TOP + 58}" text-anchor="end">req/s</text>')

    def _p99(self) -> None:
        top = _ceiling(max((slot.p99 for slot in self.slots), default=0.1) or 0.1)
        points = [
            f"{self.x((index + 0.5) * self.step):.1f},{P99_TOP + P99_HEIGHT * (1 - min(slot.p99, top) / top):.1f}"
            for index, slot in enumerate(self.slots)
            if slot.p99
        ]
        self.parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{P99_TOP}" y2="{P99_TOP}"/>')
        self.parts.append(f'<polyline class="p99" points="{" ".join(points)}"/>')
        label = f"{top * 1000:g} ms" if top < 1 else f"{top:g} s"
        self.parts.append(f'<text class="tick" x="{LEFT - 6}" y="{P99_TOP + 8}" text-anchor="end">{label}</text>')
        self.parts.append(f'<text class="tick" x="{LEFT - 6}" y="{P99_TOP + 34}" text-anchor="end">p99</text>')

    def _versions(self) -> None:
        order: dict[str, int] = {}
        for index, slot in enumerate(self.slots):
            total = sum(number for _, number in slot.versions)
            y = float(VERSION_TOP)
            for version, number in sorted(slot.versions):
                css = f"v{order.setdefault(version, len(order)) % VERSION_CLASSES}"
                height = VERSION_HEIGHT * number / total
                width = (WIDTH - LEFT - RIGHT) * self.step / self.length
                self.parts.append(
                    f'<rect class="{css}" x="{self.x(index * self.step):.1f}" y="{y:.1f}" width="{width + 0.3:.1f}" '
                    f'height="{height:.1f}"><title>{escape(version)}: {number} answers</title></rect>'
                )
                y += height
        self.parts.append(f'<text class="tick" x="{LEFT - 6}" y="{VERSION_TOP + 10}" text-anchor="end">version</text>')

    def _markers(self, markers: Sequence[Marker]) -> None:
        free = [-1e9, -1e9]  # where the text of each of two rows ends
        for marker in sorted(markers):
            x = self.x(marker.at - self.origin)
            title = f"<title>{escape(marker.what)} at {marker.at - self.origin:.1f} s</title>"
            if marker.style == "switch":
                self.parts.append(f'<path class="switch" d="M{x:.1f} {RATE_TOP + RATE_HEIGHT}l4 7h-8z">{title}</path>')
                continue
            if marker.style == "end":
                continue
            bottom = VERSION_TOP
            self.parts.append(
                f'<line class="{escape(marker.style)}" x1="{x:.1f}" x2="{x:.1f}" y1="{RATE_TOP - 4}" y2="{bottom}">'
                f"{title}</line>"
            )
            row = next((number for number, end in enumerate(free) if end < x), None)
            if row is not None:
                free[row] = x + 6.2 * len(marker.what) + 10
                anchor = "end" if free[row] > WIDTH else "start"
                self.parts.append(
                    f'<text class="label {escape(marker.style)}-text" x="{x:.1f}" y="{12 + 13 * row}" '
                    f'text-anchor="{anchor}">{escape(marker.what)}</text>'
                )

    def _axis(self) -> None:
        step = next(one for one in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 10**9) if self.length / one <= 14)
        seconds = 0
        while seconds <= self.length:
            self.parts.append(
                f'<text class="tick" x="{self.x(seconds):.1f}" y="{AXIS_TOP + 16}" text-anchor="middle">'
                f"{seconds:g} s</text>"
            )
            seconds += step

    def draw(self, markers: Sequence[Marker], title: str) -> str:
        self._windows()
        self._rates()
        self._p99()
        self._versions()
        self._markers(markers)
        self._axis()
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(self.parts)}</svg>'
        )
