# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge's access log, one JSON object a line, as values. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Request:
    """One request as the edge answered it.

    :param time: epoch seconds when the answer ended
    :param status: what the client got; 499: it went away first
    :param seconds: from the first byte of the request to the last of the answer
    :param upstream: address (``172.18.0.5:8000``) of the container that answered last, "" when none was asked
    :param upstream_status: its status, 0 when it gave none
    """

    time: float
    service: str
    path: str
    status: int
    seconds: float
    upstream: str
    upstream_status: int


def parse(lines: Iterable[str], stack: str, since: float = 0.0) -> list[Request]:
    """The requests of a stack since epoch seconds, in the log's order. What is no access line is passed over.

    ``at`` holds milliseconds; lines of an edge that did not write it count from the second of ``time``.
    """
    found = []
    for line in lines:
        if '"stack"' not in line:
            continue
        try:
            data: dict[str, Any] = json.loads(line[line.index("{") :])
            if data.get("stack") != stack or not data.get("service"):
                continue
            time = float(data["at"]) if data.get("at") else datetime.fromisoformat(data["time"]).timestamp()
            if time < since:
                continue
            found.append(
                Request(
                    time,
                    str(data["service"]),
                    str(data.get("path", "")),
                    int(data["status"]),
                    float(data["request_time"]),
                    _last(data.get("upstream", "")),
                    int(_last(data.get("upstream_status", "")) or 0),
                )
            )
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _last(value: str) -> str:
    """Of ``a, b : c`` (several tries) the last; nginx writes ``-`` for none."""
    last = value.replace(" : ", ", ").split(", ")[-1].strip()
    return "" if last == "-" else last
