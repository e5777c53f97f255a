# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLite files that are no use are refused with the reason and the way out; those that are, are left as they were."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.clients import sqlite
from ansible_collections.landfall.stack.plugins.module_utils.clients.sqlite_file import Refused, examine

SQL = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)"


@pytest.fixture(params=sqlite.LIBRARIES)
def library(request):
    return request.param


@pytest.fixture
def path(tmp_path):
    """A database of some pages."""
    name = str(tmp_path / "a.db")
    connection = sqlite3.connect(name)
    connection.execute(SQL)
    connection.executemany("INSERT INTO t (b) VALUES (?)", [("x" * 200,) for _ in range(500)])
    connection.commit()
    connection.close()
    return name


def refused(path, library="auto", **more):
    with pytest.raises(Refused) as caught:
        sqlite.connect(path, library, **more).close()
    assert str(caught.value).startswith(f"{path}: ") and caught.value.remedy
    return caught.value


def read(path):
    with open(path, "rb") as stream:
        return stream.read()


def write(path, data):
    with open(path, "wb") as stream:
        stream.write(data)
    return str(path)


def test_a_path_that_is_not_there(tmp_path):
    assert "cannot be found" in refused(str(tmp_path / "no.db")).reason
    assert "directory" in refused(str(tmp_path)).reason
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(str(tmp_path / "pipe")).reason
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_wal_without_its_database(tmp_path):
    write(tmp_path / "a.db-wal", b"x" * 100)
    assert "a.db-wal is there, and its database is not" in refused(str(tmp_path / "a.db")).reason


def test_an_empty_file_is_a_wrong_path(tmp_path):
    assert "empty (0 bytes)" in refused(write(tmp_path / "a.db", b"")).reason
    assert os.path.getsize(tmp_path / "a.db") == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"PRAGMA foreign_keys=OFF;\n", "dump in SQL"),
        (b"PGDMP\x01", "dump of PostgreSQL"),
        (b"hello world", "it begins with 68656c6c6f20776f726c64"),
        (random.Random(1).randbytes(8192), "encrypted"),
        (b"SQLite format 3\0" + b"\0" * 100, "header is damaged"),
    ],
)
def test_what_is_no_database(tmp_path, data, reason):
    assert reason in refused(write(tmp_path / "a.db", data)).reason


def test_a_file_that_is_cut_off(path):
    size = os.path.getsize(path)
    os.truncate(path, size - 4096)
    assert f"cut off: {size - 4096} bytes of {size} (pages {size // 4096} to {size // 4096} are missing)" in str(
        refused(path)
    )


def test_corrupt_pages_are_named(path, library):
    with open(path, "r+b") as stream:
        stream.seek(4096 * 5)
        stream.write(b"\xff" * 4096)
    with sqlite.connect(path, library) as db:
        with pytest.raises(Refused, match=r"corrupt: .*[Pp]age 6\b"):
            sqlite.require_sound(db)


def test_a_corrupt_schema_is_refused_at_once(path, library):
    with open(path, "r+b") as stream:
        stream.seek(100)
        stream.write(b"\xff" * 200)
    assert "corrupt" in refused(path, library).reason


def test_an_encrypted_database_with_a_plain_header(path, library):
    # As SQLCipher leaves it with cipher_plaintext_header_size: the magic can be read, the pages cannot.
    data = random.Random(2).randbytes(os.path.getsize(path) - 32)
    with open(path, "r+b") as stream:
        stream.seek(32)
        stream.write(data)
    assert "corrupt" in refused(path, library).reason or "encrypted" in refused(path, library).reason


def test_a_lock_that_is_held_for_long(path, library):
    holder = sqlite3.connect(path)
    # A process of its own: POSIX locks do not hold within one.
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN EXCLUSIVE'); "
        "print('held', flush=True); sys.stdin.read()"
    )
    holder.close()
    other = subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"held\n"
        assert "holds a lock" in refused(path, library, lock_timeout=0.1).reason
    finally:
        other.communicate(b"")
    sqlite.connect(path, library).close()


def test_a_journal_that_was_never_rolled_back(path, library):
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('PRAGMA cache_size=1');"
        "c.execute('BEGIN IMMEDIATE'); c.execute('UPDATE t SET b = b || 1'); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=False)
    assert os.path.exists(f"{path}-journal")
    before = read(path)
    assert "never finished" in refused(path, library).reason
    assert read(path) == before


def test_a_live_wal_is_read_and_left_alone(path, library):
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('PRAGMA journal_mode = WAL'); c.execute('INSERT INTO t VALUES (9999, NULL)');"
        "print('there', flush=True); sys.stdin.read()"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert writer.stdout.readline() == b"there\n"
        main = read(path)
        with sqlite.connect(path, library) as db:
            assert db.value("SELECT max(a) FROM t") == 9999
        assert read(path) == main and os.path.getsize(f"{path}-wal") > 0
    finally:
        writer.communicate(b"")


def test_side_files_go_when_there_were_none(path, library):
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    names = sorted(os.listdir(os.path.dirname(path)))
    with sqlite.connect(path, library) as db:
        assert db.value("SELECT count(*) FROM t") == 500
    assert sorted(os.listdir(os.path.dirname(path))) == names


def test_nothing_can_be_written(path, library):
    with sqlite.connect(path, library) as db:
        with pytest.raises(Refused):
            db.execute("DELETE FROM t")
        assert db.value("SELECT count(*) FROM t") == 500


def test_a_transaction_sees_one_moment(path, library):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('DELETE FROM t'); c.commit()"
    with sqlite.connect(path, library) as db:
        db.begin()
        subprocess.run([sys.executable, "-c", code, path], check=True)
        assert db.value("SELECT count(*) FROM t") == 500
        db.end()
        assert db.value("SELECT count(*) FROM t") == 0


def test_a_library_that_is_not_there(path, monkeypatch):
    monkeypatch.setattr(sqlite, "apsw", None)
    with sqlite.connect(path) as db:
        assert db.library == "sqlite3"
    assert "not installed" in refused(path, "apsw").reason


def test_a_link_is_followed(path, tmp_path):
    os.makedirs(tmp_path / "other")
    os.symlink(path, tmp_path / "other" / "link.db")
    examine(str(tmp_path / "other" / "link.db"))
    with sqlite.connect(str(tmp_path / "other" / "link.db")) as db:
        assert db.value("SELECT count(*) FROM t") == 500


@pytest.mark.parametrize("one_thread", [False, True])
def test_what_only_one_thread_uses_is_not_locked_against_others(path, library, one_thread):
    with sqlite.connect(path, library, one_thread=one_thread) as db:
        assert db.value("SELECT count(*) FROM t") == 500
        if library == sqlite.APSW:
            assert bool(db.raw.open_flags & sqlite.apsw.SQLITE_OPEN_NOMUTEX) is one_thread
