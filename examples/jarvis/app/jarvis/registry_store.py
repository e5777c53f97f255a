# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the registry keeps: agents (table and JSON file) and sessions with their turns."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jarvis.database import Database, Execute

log = logging.getLogger("jarvis.registry")

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS agents (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        description TEXT NOT NULL,
        version TEXT NOT NULL,
        url TEXT NOT NULL,
        examples TEXT NOT NULL,
        status TEXT NOT NULL,
        since TEXT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS sessions (
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        agent TEXT NOT NULL,
        title TEXT NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS sessions_of_user ON sessions (user_id, updated_at)",
    """CREATE TABLE IF NOT EXISTS turns (
        session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        agent TEXT NOT NULL,
        question TEXT NOT NULL,
        answer TEXT NOT NULL,
        table_json TEXT,
        created_at TEXT NOT NULL,
        PRIMARY KEY (session_id, position),
        UNIQUE (session_id, message_id)
    )""",
)
AGENT_COLUMNS = ("id", "name", "description", "version", "url", "examples", "status", "since")


class NotYours(Exception):
    """The session belongs to another user."""


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def write_atomic(path: Path, text: str) -> None:
    """Replace the file at once: a reader, or a crash, sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o640)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def from_card(agent_id: str, card: dict[str, Any] | None) -> dict[str, Any]:
    """An agent's entry (without ``since``) from its card; one that never answered is offline."""
    card = card or {}
    examples = [example for skill in card.get("skills", []) for example in skill.get("examples", [])]
    return {
        "id": agent_id,
        "name": str(card.get("name") or f"{agent_id.capitalize()} Agent"),
        "description": str(card.get("description", "")),
        "version": str(card.get("version", "")),
        "url": str(card.get("url", "")),
        "examples": examples,
        "status": "online" if card else "offline",
    }


class Agents:
    """The agents: the table is the truth, the JSON file a copy written at each change."""

    def __init__(self, database: Database, path: Path, known: Sequence[str]) -> None:
        self._database, self._path, self._known = database, path, known
        self._exporting = threading.Lock()

    def load(self) -> None:
        """Fill an empty table from the JSON file, then see that each known agent has a row."""
        if not self.all() and self._path.exists():
            try:
                for agent in json.loads(self._path.read_text(encoding="utf-8"))["agents"]:
                    self._write({column: agent[column] for column in AGENT_COLUMNS})
                log.info("agents imported", extra={"data": {"path": str(self._path)}})
            except (ValueError, KeyError, TypeError):
                log.exception("agent file ignored: not valid", extra={"data": {"path": str(self._path)}})
        present = {agent["id"] for agent in self.all()}
        for agent_id in self._known:
            if agent_id not in present:
                self._write({**from_card(agent_id, None), "since": now()})
        self._export()

    def all(self) -> list[dict[str, Any]]:
        """All agents, in the order in which they are configured; one no longer configured is left out."""
        rows = self._database.execute(f"SELECT {', '.join(AGENT_COLUMNS)} FROM agents")
        agents = {row["id"]: {**row, "examples": json.loads(row["examples"])} for row in rows}
        return [agents[agent_id] for agent_id in self._known if agent_id in agents]

    def saw(self, agent_id: str, card: dict[str, Any] | None) -> bool:
        """Note an agent's card (None: it did not answer). True when that changed something."""
        old = next((agent for agent in self.all() if agent["id"] == agent_id), None)
        seen = from_card(agent_id, card)
        if card is None and old is not None:
            seen = {**old, "status": "offline"}
        if old is not None and all(old[key] == value for key, value in seen.items()):
            return False
        same_status = old is not None and old["status"] == seen["status"]
        self._write({**seen, "since": old["since"] if old is not None and same_status else now()})
        self._export()
        return True

    def _write(self, agent: dict[str, Any]) -> None:
        values = [json.dumps(agent[c]) if c == "examples" else agent[c] for c in AGENT_COLUMNS]
        updates = ", ".join(f"{column} = excluded.{column}" for column in AGENT_COLUMNS[1:])
        marks = ", ".join("?" for _ in AGENT_COLUMNS)
        self._database.execute(
            f"INSERT INTO agents ({', '.join(AGENT_COLUMNS)}) VALUES ({marks})"
            f" ON CONFLICT (id) DO UPDATE SET {updates}",
            values,
        )

    def _export(self) -> None:
        with self._exporting:  # the table is read inside: an earlier look at it never replaces a later one's file
            text = json.dumps({"version": 1, "agents": self.all()}, indent=2, ensure_ascii=False) + "\n"
            if not self._path.exists() or self._path.read_text(encoding="utf-8") != text:
                write_atomic(self._path, text)


class Sessions:
    """Sessions and their turns; everything belongs to one user."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, user_id: str, agent: str | None, limit: int) -> list[dict[str, Any]]:
        """The user's sessions, latest first; only those with ``agent`` when given."""
        where, values = "user_id = ?", [user_id]
        if agent is not None:
            where, values = where + " AND agent = ?", [*values, agent]
        return self._database.execute(
            f"SELECT id, agent, title, created_at, updated_at FROM sessions WHERE {where}"
            " ORDER BY updated_at DESC, id LIMIT ?",
            [*values, limit],
        )

    def get(self, session_id: str, user_id: str) -> dict[str, Any] | None:
        """A session with its turns, or None when this user has none of that id."""

        def work(execute: Execute) -> dict[str, Any] | None:
            rows = execute(
                "SELECT id, agent, title, created_at, updated_at FROM sessions WHERE id = ? AND user_id = ?",
                [session_id, user_id],
            )
            if not rows:
                return None
            turns = execute(
                "SELECT position, message_id, agent, question, answer, table_json, created_at"
                " FROM turns WHERE session_id = ? ORDER BY position",
                [session_id],
            )
            for turn in turns:
                table = turn.pop("table_json")
                turn["table"] = json.loads(table) if table else None
            return {**rows[0], "turns": turns}

        return self._database.transaction(work)

    def add_turn(self, session_id: str, user_id: str, turn: dict[str, Any]) -> int:
        """Add a turn, creating the session with the first one; returns its position, from 1.

        A ``message_id`` that is there already is not added again. Raises NotYours for another user's session.
        """

        def work(execute: Execute) -> int:
            stamp = now()
            execute(
                "INSERT INTO sessions (id, user_id, agent, title, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET updated_at = excluded.updated_at",  # locks the row in PostgreSQL
                [session_id, user_id, turn["agent"], turn["question"][:80], stamp, stamp],
            )
            if execute("SELECT user_id FROM sessions WHERE id = ?", [session_id])[0]["user_id"] != user_id:
                raise NotYours
            known = execute(
                "SELECT position FROM turns WHERE session_id = ? AND message_id = ?", [session_id, turn["message_id"]]
            )
            if known:
                return known[0]["position"]
            last = execute("SELECT COALESCE(MAX(position), 0) AS last FROM turns WHERE session_id = ?", [session_id])
            position = last[0]["last"] + 1
            execute(
                "INSERT INTO turns (session_id, position, message_id, agent, question, answer, table_json, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    session_id,
                    position,
                    turn["message_id"],
                    turn["agent"],
                    turn["question"],
                    turn["answer"],
                    json.dumps(turn["table"], ensure_ascii=False) if turn.get("table") else None,
                    stamp,
                ],
            )
            return position

        return self._database.transaction(work)

    def delete(self, session_id: str) -> None:
        self._database.execute("DELETE FROM sessions WHERE id = ?", [session_id])
