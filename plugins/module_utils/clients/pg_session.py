# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session with a PostgreSQL server through its own psql: so no driver is needed, and a container's socket will do."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

from ..backup import postgres
from ..backup.ports import BackupError
from ..backup.postgres import Access
from .docker_command import told
from .process import base_env, die_with_parent

_END = "--landfall-end-of-answer--"


class Session:
    """psql, kept open: what is asked in it is asked in one transaction when it was begun with :meth:`begin`.

    :param app: the session's application_name, by which all of a run's sessions can be found and ended
    """

    def __init__(self, access: Access, database: str, app: str = "landfall") -> None:
        self._access, self._database, self._app = access, database, app
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        command = access.command(
            "psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password", "--set=ON_ERROR_STOP=1",
            PGDATABASE=database, PGAPPNAME=app,
        )  # fmt: skip
        try:
            self._psql = subprocess.Popen(
                command.argv,
                cwd="/",
                env={**base_env(), **command.env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                preexec_fn=die_with_parent,
                text=True,
                encoding="utf-8",
            )
        except OSError as problem:
            raise BackupError(
                f"{command.argv[0]} cannot be started: {problem.strerror}; install postgresql-client"
            ) from problem

    def ask(self, *statements: str) -> list[str]:
        """Run statements; the lines they print. :raises BackupError: with the server's own words"""
        out: list[str] = []
        into, answers = self._psql.stdin, self._psql.stdout
        try:
            if into is not None:
                into.write("\n".join(statements) + f"\n\\echo {_END}\n")
                into.flush()
            for line in answers or ():
                if line.rstrip("\n") == _END:
                    return out
                out.append(line.rstrip("\n"))
        except (BrokenPipeError, ValueError):
            pass
        self._psql.wait()
        self._said.seek(0)
        said = told(self._said.read().decode(errors="replace")).replace("psql:<stdin>:", "line ")
        raise BackupError(f"PostgreSQL, database {self._database}: {said}{postgres.hint(said)}")

    def value(self, statement: str) -> Any:
        """The one value, as JSON, that a statement prints."""
        lines = self.ask(statement)
        try:
            return json.loads("\n".join(lines))
        except ValueError as problem:
            raise BackupError(f"PostgreSQL, database {self._database}: unexpected answer {lines[:2]!r}") from problem

    def begin(self, lock_timeout: float) -> str:
        """Begin a transaction that sees one moment, and export it: the snapshot's name."""
        begin = postgres.BEGIN.format(lock=int(lock_timeout * 1000))
        return self.ask(begin, postgres.EXPORT)[-1]

    def tables(self) -> list[list[str]]:
        """``[schema, table]`` of all whose rows are in a dump."""
        found: list[list[str]] = self.value(postgres.TABLES)
        return found

    def counts(self, tables: Sequence[Sequence[str]]) -> dict[str, int]:
        """Exact rows of each table, by :func:`..backup.postgres.table_key`."""
        return {
            postgres.table_key(schema, table): int(self.ask(postgres.count_sql(schema, table))[0])
            for schema, table in tables
        }

    def end_others(self) -> None:
        """End what this run left on the server: a program in a container outlives the command that began it."""
        with contextlib.suppress(BackupError):
            name = postgres.literal(self._app)
            self.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE application_name = {name} AND pid <> pg_backend_pid();"
            )

    def close(self) -> None:
        """End the session."""
        with contextlib.suppress(OSError):
            if self._psql.stdin is not None:
                self._psql.stdin.close()
        try:
            self._psql.wait(10)
        except subprocess.TimeoutExpired:
            self._psql.kill()
            self._psql.wait()
        if self._psql.stdout is not None:
            self._psql.stdout.close()
        self._said.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
