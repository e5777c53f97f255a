# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL through psycopg: connections, the binary COPY, what the server says of itself.

psycopg's C part formats a row five times faster than its Python part, by a function that is not public. It is used
where its version is known and it proves itself on a row whose bytes are known; otherwise ``write_row`` is.
"""

from __future__ import annotations

import contextlib
import importlib
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import Any

from ..migration.problems import TargetRefused
from ..migration.wire import HEADER, TRAILER

try:
    import psycopg
    import psycopg.conninfo
    from psycopg import pq
    from psycopg.adapt import Transformer
    from psycopg.types.string import BytesBinaryDumper
except ImportError:
    psycopg = None  # type: ignore[assignment]

OLDEST = (3, 1)
#: Versions whose format_row_binary(row, transformer, out) is known.
KNOWN = ((3, 1), (3, 2), (3, 3))
#: Bytes gathered before they are handed to libpq.
BLOCK = 96 * 1024
#: Rows between two looks at how much was gathered: what is between two rows costs a tenth of the encoding. Large rows,
#: of which a few make a block, are looked at one by one.
ROWS = 32

Connection = Any


def quote(name: str) -> str:
    """An identifier for SQL."""
    return '"' + name.replace('"', '""') + '"'


def connect(dsn: str, name: str = "landfall migration", **options: Any) -> Connection:
    """A connection in autocommit mode whose session makes text and times mean one thing.

    :param name: application_name, by which others can see who holds a lock (at most 63 bytes)
    :raises TargetRefused: unreachable, or refused; the message never has the DSN
    """
    if psycopg is None:
        raise TargetRefused("psycopg is not installed on this host; install python3-psycopg (3.1 or newer)")
    version = tuple(int(part) for part in psycopg.__version__.split(".")[:2])
    if version < OLDEST:
        raise TargetRefused(f"psycopg {psycopg.__version__} is too old; install python3-psycopg 3.1 or newer")
    try:
        psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.Error:
        # The parser's message quotes what it cannot read, which may be the password.
        raise TargetRefused(
            "the DSN cannot be read; write it as postgresql://user:password@host:5432/database, with special "
            "characters of the password as %XX"
        ) from None
    try:
        connection = psycopg.connect(dsn, autocommit=True, application_name=name[:63], connect_timeout=10, **options)
    except psycopg.Error as problem:
        said = " ".join(str(problem).split())
        raise TargetRefused(f"PostgreSQL cannot be reached: {said}. Check host, port, user and pg_hba.conf") from None
    connection.execute("SET timezone = 'UTC'")
    connection.execute("SET client_encoding = 'UTF8'")
    connection.execute("SET extra_float_digits = 3")
    return connection


def _formatter() -> Callable[..., Any] | None:
    """psycopg's own C formatter of a row, None where it is not there or not known."""
    version = tuple(int(part) for part in psycopg.__version__.split(".")[:2])
    package = {"c": "psycopg_c._psycopg", "binary": "psycopg_binary._psycopg"}.get(pq.__impl__)
    if package is None or version not in KNOWN:
        return None
    with contextlib.suppress(ImportError, AttributeError):
        return importlib.import_module(package).format_row_binary
    return None


def fast_format(connection: Connection) -> Callable[..., Any] | None:
    """The C formatter when it writes a known row as it must, else None."""
    format_row = _formatter()
    if format_row is None:
        return None
    out = bytearray()
    try:
        format_row((1, "é", None, 0.5, b"\0"), transformer(connection, (20, 25, 25, 701, 17)), out)
    except Exception:
        return None
    known = struct.pack("!hiqi2sii", 5, 8, 1, 2, "é".encode(), -1, 8) + struct.pack("!di1s", 0.5, 1, b"\0")
    return format_row if bytes(out) == known else None


def transformer(connection: Connection, oids: Sequence[int]) -> Any:
    """What dumps a row's values as the types of these OIDs, in binary."""
    # For bytea psycopg would choose the dumper of DB-API's Binary, which is written in Python: a third of a microsecond
    # for each value. The last one registered for a type is chosen.
    connection.adapters.register_dumper(bytes, BytesBinaryDumper)
    made = Transformer(connection)
    made.set_dumper_types(oids, pq.Format.BINARY)
    return made


@contextlib.contextmanager
def copying(connection: Connection, sql: str) -> Iterator[Any]:
    """A COPY. What is raised in it comes out of it; psycopg 3.1 raises the server's answer to its own end instead."""
    raised: BaseException | None = None
    try:
        with connection.cursor().copy(sql) as copy:
            try:
                yield copy
            except BaseException as problem:
                raised = problem
                raise
    except psycopg.errors.QueryCanceled:
        if raised is None:
            raise
        raise raised from None


def copy_values(
    connection: Connection, sql: str, oids: Sequence[int], rows: Iterable[Sequence[Any]]
) -> tuple[int, int]:
    """COPY rows of plain values, each dumped as the type of its OID. (rows, bytes) that were sent.

    :raises Exception: whatever the dumpers raise about a value of the wrong class; psycopg.Error of the server
    """
    format_row = fast_format(connection)
    count = size = 0
    with copying(connection, sql) as copy:
        if format_row is None:
            copy.set_types(list(oids))
            for row in rows:
                copy.write_row(row)
                count += 1
            return count, 0
        dump, rows = transformer(connection, oids), iter(rows)
        out = bytearray(HEADER)
        for row in rows:
            before = len(out)
            format_row(row, dump, out)
            more = ROWS if (len(out) - before) * ROWS <= BLOCK else 0
            # A loop that is all C. Its list is as long as there were rows.
            count += 1 + len(list(map(format_row, islice(rows, more), repeat(dump), repeat(out))))
            if len(out) > BLOCK:
                size += len(out)
                copy.write(out)
                out = bytearray()
        out += TRAILER
        copy.write(out)
        return count, size + len(out)


def copy_blocks(connection: Connection, sql: str, rows: Iterable[bytes]) -> tuple[int, int]:
    """COPY rows that are encoded already (see wire.row_bytes). (rows, bytes) that were sent."""
    count = size = 0
    with copying(connection, sql) as copy:
        out = bytearray(HEADER)
        for row in rows:
            out += row
            count += 1
            if len(out) > BLOCK:
                size += len(out)
                copy.write(out)
                out = bytearray()
        out += TRAILER
        copy.write(out)
    return count, size + len(out)


def one(connection: Connection, sql: str, values: Sequence[Any] = ()) -> Any:
    """First column of the first row, None without one."""
    row = connection.execute(sql, values).fetchone()
    return row[0] if row else None
