# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring a database: beside under a name of its own, compared with the manifest, and only then swapped by name."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ..backup import postgres
from ..backup.commands import Command
from ..backup.manifest import Item
from ..backup.ports import BackupError, Store
from .backup_verify import Hashed, spool, through
from .docker_command import told
from .pg_server import Server
from .pipeline import Running
from .process import runner
from .restore_files import need_room


def scratch_name(database: str, sid: str) -> str:
    """The name of a database while it is restored: the same for the same set, so that a killed restore's is found."""
    return f"{database[:38]}_landfall_{sid[-4:]}"


def by_file(server: Server, jobs: int) -> bool:
    """Whether several jobs can read an archive: not so a file of the host inside a container, or as another user."""
    return jobs > 1 and not server.access.prefix


def lay_down(store: Store, item: Item, chain: Sequence[Command], scratch: str) -> str:
    """The archive of an item as a file, checked on its way; its path.

    :raises BackupError: no room, or other bytes than were sent; nothing of it is left then
    """
    os.makedirs(scratch, mode=0o700, exist_ok=True)
    need_room(scratch, item.plain_bytes)
    path = os.path.join(scratch, f"{item.name}.dump")
    spool(store, item, path, chain)
    return path


def restore(
    store: Store,
    item: Item,
    server: Server,
    target: str,
    chain: Sequence[Command],
    archive: str,
    jobs: int,
    say: Callable[[str], None],
    tables: Sequence[tuple[str, str]] = (),
) -> None:
    """Make a new database of an item; its rows are those of the manifest, or there is no such database.

    :param archive: its file, which is read by several jobs; "" to read the store
    :param tables: ``(schema, table)``: all definitions, but only their rows, read from the file; no indexes and
        constraints: what the rows point to would be missing
    :raises BackupError: it is there already, or the restore failed; nothing of it is left then
    """
    _able(server, item)
    create(server, item, target)
    try:
        if tables:
            _load_rows(server, target, archive, tables)
        else:
            _load(store, item, server, target, chain, archive, jobs)
        # Statistics are gathered while rows are counted.
        with ThreadPoolExecutor(1) as pool, server.session(target) as session:
            statistics = pool.submit(session.ask, "ANALYZE;")
            rows = compare(server, item, target, say, tables)
            statistics.result()
        with server.session() as session:
            session.ask(*properties(target, item))
    except BaseException:
        drop(server, target)
        raise
    say(f"database {target}: {len(rows)} tables, {sum(rows.values())} rows, as in the backup")


def _able(server: Server, item: Item) -> None:
    """Before hours of loading. :raises BackupError: the server lacks files of extensions"""
    with server.session() as session:
        there = session.value("SELECT coalesce(json_agg(name), '[]') FROM pg_available_extensions;")
    lacking = sorted(set(item.details["extensions"]) - set(there))
    if lacking:
        raise BackupError(
            f"{item.name}: the server lacks extensions that it uses: {', '.join(lacking)}. Install their packages "
            "there (or take an image that has them), and run the same again"
        )


def create(server: Server, item: Item, target: str) -> None:
    """An empty database like the one that was backed up. :raises BackupError: it is there, or the server is too old"""
    facts = item.details
    if server.major < postgres.major(int(facts["server"])):
        raise BackupError(
            f"the backup is of PostgreSQL {postgres.major(int(facts['server']))}, the server is {server.major}: "
            "restore it to a server of that version or a newer one"
        )
    with server.session() as session:
        if target in server.databases:
            raise BackupError(f"database {target} is there already, and is not overwritten: choose another name")
        session.ask(postgres.create_sql(target, facts, server.major))


def compare(
    server: Server, item: Item, target: str, say: Callable[[str], None], tables: Sequence[tuple[str, str]] = ()
) -> dict[str, int]:
    """Rows by table of a restored database. :param tables: only these, none for all

    :raises BackupError: they, or other things counted, are not the set's
    """
    facts = item.details
    wanted = {postgres.table_key(*one) for one in tables} or set(facts["rows"])
    with server.session(target) as session:
        session.begin(60)
        rows = session.counts([one for one in session.tables() if not tables or postgres.table_key(*one) in wanted])
        wrong = postgres.compare_counts({key: facts["rows"][key] for key in wanted}, rows)
        if wrong:
            raise BackupError(f"the restored database is not what was backed up: {'; '.join(wrong[:5])}")
        now = session.value(postgres.FACTS)
        if not tables and now["large_objects"] != facts["large_objects"]:
            raise BackupError(f"{now['large_objects']} large objects of {facts['large_objects']} were restored")
        lost = sorted(set(facts["extensions"]) - set(now["extensions"]))
        if lost:
            raise BackupError(f"extensions were not restored: {', '.join(lost)}")
        note = postgres.collation_warning(facts, now["database"].get("datcollversion"))
        if note:
            say(note)
        session.ask("COMMIT;")
    return rows


def properties(target: str, item: Item) -> list[str]:
    """Statements for what a dump restored under another name would lose: settings, privileges, owner."""
    row = item.details["database"]
    out = postgres.settings_sql(target, item.details["settings"])
    out += postgres.acl_sql(target, row.get("acl"))
    if int(row.get("datconnlimit", -1)) >= 0:
        out.append(f"ALTER DATABASE {postgres.ident(target)} CONNECTION LIMIT {int(row['datconnlimit'])};")
    return [*out, f"ALTER DATABASE {postgres.ident(target)} OWNER TO {postgres.ident(str(row['owner']))};"]


def _load(
    store: Store, item: Item, server: Server, target: str, chain: Sequence[Command], archive: str, jobs: int
) -> None:
    args = ["--exit-on-error", "--no-password", f"--dbname={target}"]
    if archive:
        _run(server.access.command("pg_restore", *args, f"--jobs={jobs}", archive, PGAPPNAME=server.app))
        return
    stream = Hashed(store, item)
    through(stream, [*chain, server.access.command("pg_restore", *args, PGAPPNAME=server.app)])
    if stream.problems:
        raise BackupError("; ".join(stream.problems))


def _load_rows(server: Server, target: str, archive: str, tables: Sequence[tuple[str, str]]) -> None:
    selections = [["--section=pre-data"]]
    # Each alone: two schemas and two tables together would select four.
    selections += [["--section=data", f"--schema={schema}", f"--table={table}"] for schema, table in tables]
    for args in selections:
        command = server.access.command(
            "pg_restore", "--exit-on-error", "--no-password", f"--dbname={target}", *args, PGAPPNAME=server.app
        )
        # As standard input it can be read in a container, too.
        with open(archive, "rb") as file:
            running = Running(command, file, subprocess.DEVNULL)
            try:
                running.process.wait()
                if running.fault():
                    raise BackupError(running.fault())
            finally:
                running.kill()


def _run(command: Command) -> None:
    rc, _out, err = runner(None)(command.argv, "/", command.env)
    if rc:
        raise BackupError(f"{command.name} ended with {rc}: {told(err)}")


def make_roles(server: Server, text: str, say: Callable[[str], None]) -> None:
    """Make the roles of a dump of globals that the server lacks; those that are there stay as they are."""
    with server.session() as session:
        there: list[str] = session.value("SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles;")
        made, statements = postgres.missing_role_sql(text, there)
        if statements:
            session.ask("BEGIN;", *statements, "COMMIT;")
            say(f"roles were made: {', '.join(made)}")


def swap(server: Server, new: str, name: str, before: str) -> None:
    """Give a database the name of another, which is kept as ``before``: in one transaction."""
    for attempt in range(10):
        with server.session() as session:
            statements = [f"ALTER DATABASE {postgres.ident(new)} RENAME TO {postgres.ident(name)};"]
            if name in server.databases:
                statements.insert(0, f"ALTER DATABASE {postgres.ident(name)} RENAME TO {postgres.ident(before)};")
            try:
                session.ask(_end_sql([name, new]))
                session.ask("BEGIN;", *statements, "COMMIT;")
                return
            except BackupError as problem:
                # Somebody came back between the two.
                if "being accessed" not in str(problem) or attempt == 9:
                    raise
        time.sleep(0.2)


def drop(server: Server, name: str) -> None:
    """Drop a database that a restore did not finish."""
    with contextlib.suppress(BackupError), server.session() as session:
        session.ask(_end_sql([name]))
        session.ask(f"DROP DATABASE IF EXISTS {postgres.ident(name)};")


def _end_sql(names: Iterable[str]) -> str:
    listed = ", ".join(postgres.literal(name) for name in names)
    return (
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ({listed}) "
        "AND pid <> pg_backend_pid();"
    )
