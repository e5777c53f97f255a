# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL: how its programs are called, what is asked of a server, what a dump must hold."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from .commands import Command
from .ports import BackupError

#: A name that may stand in a command line and in SQL without surprises; databases that exist already may have others.
NEW_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$")
_URL_OPTIONS = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "channel_binding": "PGCHANNELBINDING",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}


@dataclass(frozen=True)
class Access:
    """How a server's programs are reached.

    :param prefix: what comes before the program: ``docker exec …``, ``runuser -u postgres --``; ``ENV`` in it is
        replaced by ``--env NAME`` for each variable
    :param bin_dir: where the programs lie, "" for the PATH
    :param env: libpq's variables, the password among them
    """

    prefix: tuple[str, ...] = ()
    bin_dir: str = ""
    env: Mapping[str, str] = field(default_factory=dict)

    def command(self, program: str, *args: str, **env: str) -> Command:
        """The command line of a program, with variables that are added."""
        variables = {"PGCONNECT_TIMEOUT": "15", **self.env, **env}
        head: list[str] = []
        for word in self.prefix:
            head += [part for name in sorted(variables) for part in ("--env", name)] if word == "ENV" else [word]
        return Command((*head, f"{self.bin_dir}/{program}" if self.bin_dir else program, *args), variables)


def in_container(container: str, user: str) -> Access:
    """The programs of the server's own container, over its own socket."""
    return Access(("docker", "exec", "-i", "ENV", container), env={"PGUSER": user})


def in_image(image: str, env: Mapping[str, str]) -> Access:
    """The programs of an image, for a server elsewhere."""
    return Access(("docker", "run", "--rm", "-i", "--network", "host", "--entrypoint", "", "ENV", image), env=env)


def on_host(env: Mapping[str, str], run_as: str, bin_dir: str) -> Access:
    """The programs of the host. :param run_as: a user of the system, for a server that knows users by their socket"""
    return Access(("runuser", "--user", run_as, "--") if run_as else (), bin_dir, env)


def env_of_url(url: str) -> dict[str, str]:
    """libpq's variables for ``postgresql://user:password@host:port/database?sslmode=require``.

    :raises BackupError: it is no such address; it is not repeated, since it holds a password
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as problem:
        raise BackupError(
            "the server's address cannot be read; write postgresql://user:password@host:5432/database"
        ) from problem
    if parts.scheme not in ("postgres", "postgresql"):
        raise BackupError("the server's address must begin with postgresql://")
    env = {
        "PGHOST": unquote(parts.hostname or ""),
        "PGPORT": str(port or ""),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")),
    }
    for name, value in parse_qsl(parts.query):
        if name == "host":
            env["PGHOST"] = value
        elif name in _URL_OPTIONS:
            env[_URL_OPTIONS[name]] = value
        else:
            raise BackupError(f"the server's address has an option {name!r} that is not known here")
    return {name: value for name, value in env.items() if value}


def major(version_num: int) -> int:
    """150004 → 15."""
    return version_num // 10000


def client_major(text: str) -> int:
    """The major version in what ``pg_dump --version`` prints. :raises BackupError: there is none"""
    found = re.search(r"\(PostgreSQL\) (\d+)", text)
    if not found:
        raise BackupError(f"pg_dump does not say its version: {text[:80]!r}")
    return int(found[1])


def dump_args(snapshot: str, lock_timeout: float, client: int) -> list[str]:
    """Arguments of pg_dump. Compression within, where the client knows zstd; else the stream is compressed after."""
    compress = "--compress=zstd:1" if client >= 16 else "--compress=0"
    return [
        "--format=custom", compress, f"--snapshot={snapshot}", f"--lock-wait-timeout={int(lock_timeout * 1000)}",
        "--no-password",
    ]  # fmt: skip


# --- SQL, each of which gives one line

BEGIN = """
SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = {lock};
SET row_security = off; SET extra_float_digits = 0; SET search_path = pg_catalog;
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
"""
EXPORT = "SELECT pg_export_snapshot();"
SERVER = (
    "SELECT json_build_object('version', current_setting('server_version_num')::int, 'superuser', "
    "(SELECT rolsuper FROM pg_roles WHERE rolname = current_user), 'user', current_user, 'encoding', "
    "current_setting('server_encoding'), 'recovery', pg_is_in_recovery());"
)
DATABASES = (
    "SELECT coalesce(json_agg(datname ORDER BY datname), '[]') FROM pg_database "
    "WHERE datallowconn AND NOT datistemplate;"
)
_FACTS = {
    "database": "SELECT to_jsonb(d) || jsonb_build_object('owner', pg_get_userbyid(datdba), 'encoding', "
    "pg_encoding_to_char(encoding), 'acl', datacl::text[]) FROM pg_database d WHERE datname = current_database()",
    "settings": "SELECT coalesce(jsonb_agg(jsonb_build_object('role', CASE WHEN setrole = 0 THEN NULL ELSE "
    "pg_get_userbyid(setrole) END, 'config', setconfig)), '[]') FROM pg_db_role_setting s JOIN pg_database d ON "
    "d.oid = s.setdatabase WHERE datname = current_database()",
    "extensions": "SELECT coalesce(jsonb_object_agg(extname, extversion), '{}') FROM pg_extension",
    "large_objects": "SELECT to_jsonb(count(*)) FROM pg_largeobject_metadata",
    "collations": "SELECT coalesce(jsonb_object_agg(collname || '/' || collprovider::text, collversion), '{}') FROM "
    "pg_collation WHERE collversion IS NOT NULL AND collnamespace <> 'pg_catalog'::regnamespace",
    "size": "SELECT to_jsonb(pg_database_size(current_database()))",
}
FACTS = "SELECT jsonb_build_object(" + ", ".join(f"'{name}', ({sql})" for name, sql in _FACTS.items()) + ");"
#: Tables whose rows are in a dump: no partitioned parents, which have none; of extensions only their configuration.
TABLES = (
    "SELECT coalesce(json_agg(json_build_array(n.nspname, c.relname) ORDER BY 1, 2), '[]') FROM pg_class c "
    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND "
    "n.nspname <> 'information_schema' AND c.relpersistence <> 't' AND NOT EXISTS (SELECT FROM pg_depend p WHERE "
    "p.classid = 'pg_class'::regclass AND p.objid = c.oid AND p.deptype = 'e');"
)

#: In a schema of its own: a database's search_path may lead nowhere.
AMCHECK = (
    "CREATE SCHEMA landfall_drill; SET search_path = landfall_drill, pg_catalog; "
    "CREATE EXTENSION amcheck SCHEMA landfall_drill;"
)
#: Every B-tree index against its table, as a server's own; the first that is damaged is an error.
AMCHECK_INDEXES = (
    "SELECT count(bt_index_check(i.indexrelid, true)::text) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence <> 't' AND "
    "i.indisready AND i.indisvalid;"
)
#: Every page of every table; a line for each that is damaged.
AMCHECK_TABLES = (
    "SELECT c.oid::regclass || ', page ' || v.blkno || ': ' || v.msg FROM pg_class c, LATERAL verify_heapam(c.oid) v "
    "WHERE c.relkind IN ('r', 't', 'm') AND c.relpersistence <> 't' LIMIT 10;"
)


def ident(name: str) -> str:
    """A quoted name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A quoted string for SQL."""
    return (
        "'" + value.replace("'", "''") + "'"
        if "\\" not in value
        else " E'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
    )


def count_sql(schema: str, table: str) -> str:
    """Exact rows of one table."""
    return f"SELECT count(*) FROM ONLY {ident(schema)}.{ident(table)};"


def table_key(schema: str, table: str) -> str:
    """How a table stands in a manifest: JSON of both names, since either may hold a dot."""
    return json.dumps([schema, table])


def listing_fault(listing: str, tables: Sequence[Sequence[str]]) -> str:
    """Why a dump's table of contents is not that of the snapshot; "" when it is."""
    data = [line.partition(" TABLE DATA ")[2] for line in listing.splitlines() if " TABLE DATA " in line]
    # "schema table owner": names may hold spaces, so that what is expected is looked for.
    missing = [
        f"{schema}.{table}"
        for schema, table in tables
        if not any(line.startswith(f"{printed(schema)} {printed(table)} ") for line in data)
    ]
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        return f"the dump lacks the data of {len(missing)} of {len(tables)} tables: {shown}"
    return ""


def printed(name: str) -> str:
    """A name as pg_restore lists it: on one line."""
    return name.replace("\n", " ").replace("\r", " ")


def compare_counts(wanted: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """What differs between the rows of a manifest and those of a restored database."""
    out = []
    for key in sorted(wanted):
        name = ".".join(json.loads(key))
        if key not in found:
            out.append(f"table {name} is missing")
        elif found[key] != wanted[key]:
            out.append(f"table {name} has {found[key]} rows, the backup had {wanted[key]}")
    return out


def settings_sql(database: str, settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """``ALTER DATABASE … SET`` for what a dump restored under another name would lose."""
    out = []
    for one in settings:
        whom = (
            f"ROLE {ident(one['role'])} IN DATABASE {ident(database)}"
            if one.get("role")
            else f"DATABASE {ident(database)}"
        )
        for line in one.get("config") or ():
            name, _equals, value = str(line).partition("=")
            # Lists of names are kept as they are written; one quoted string would be one name.
            lists = ("search_path", "session_preload_libraries", "local_preload_libraries", "temp_tablespaces")
            said = value if name in lists and value else literal(value).strip()
            out.append(f"ALTER {whom} SET {name} = {said};")
    return out


def create_sql(name: str, facts: Mapping[str, Any], server: int) -> str:
    """``CREATE DATABASE`` with the encoding and the locale that the backed-up one had."""
    row = facts["database"]
    words = [
        f"CREATE DATABASE {ident(name)} TEMPLATE template0 ENCODING {literal(str(row['encoding']))}",
        f"LC_COLLATE {literal(str(row['datcollate']))} LC_CTYPE {literal(str(row['datctype']))}",
    ]
    provider = {"i": "icu", "b": "builtin"}.get(str(row.get("datlocprovider", "c")))
    locale = row.get("datlocale") or row.get("daticulocale")
    if provider and server >= 15:
        words.append(f"LOCALE_PROVIDER {provider}")
        if locale:
            words.append(f"{'ICU_LOCALE' if provider == 'icu' else 'BUILTIN_LOCALE'} {literal(str(locale))}")
    return " ".join(words) + ";"


def collation_warning(facts: Mapping[str, Any], actual: str | None) -> str:
    """What to say when text sorts in another version than it did; "" when it does not."""
    was = facts["database"].get("datcollversion")
    if was and actual and was != actual:
        return (
            f"text was sorted by version {was} of its collation, here it is {actual}: indexes were built anew by the "
            "restore, what else relies on the order has to be looked at"
        )
    return ""


def acl_sql(database: str, acl: Sequence[str] | None) -> list[str]:
    """``GRANT`` for the privileges that a database had. :param acl: as pg_database has it, None for the default"""
    if acl is None:
        return []
    rights = {"C": "CREATE", "T": "TEMPORARY", "c": "CONNECT"}
    out = [f"REVOKE ALL ON DATABASE {ident(database)} FROM PUBLIC;"]
    for entry in acl:
        who, _equals, rest = entry.rpartition("=")
        whom = ident(who.strip('"').replace('""', '"')) if who else "PUBLIC"
        named = [rights[letter] for letter in rest.partition("/")[0] if letter in rights]
        if named:
            out.append(f"GRANT {', '.join(named)} ON DATABASE {ident(database)} TO {whom};")
    return out


_ROLE = r'("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)'


def missing_role_sql(text: str, there: Sequence[str]) -> tuple[list[str], list[str]]:
    """Of a dump of the globals what makes the roles that a server lacks: (their names, statements)."""

    def plain(name: str) -> str:
        return name[1:-1].replace('""', '"') if name.startswith('"') else name

    made: list[str] = []
    statements: list[str] = []
    for line in text.splitlines():
        created = re.match(rf"CREATE ROLE {_ROLE};$", line)
        if created and plain(created[1]) not in there:
            made.append(plain(created[1]))
            statements.append(line)
        altered = re.match(rf"ALTER ROLE {_ROLE} ", line)
        granted = re.match(rf"GRANT {_ROLE} TO {_ROLE}(?=[ ;])", line)
        if altered and plain(altered[1]) in made:
            statements.append(line)
        elif granted and plain(granted[2]) in made:
            # As whom it was granted may not exist here.
            statements.append(re.sub(r" GRANTED BY .*;$", ";", line))
    return made, statements


def hint(said: str) -> str:
    """What to do about what a server said; "" when nothing better is known than its words."""
    for words, what in (
        (("password authentication failed",), "correct the password in its file"),
        (("row-level security",), "a backup must see all rows: use a role with BYPASSRLS, or the tables' owner"),
        (
            ("lock timeout", "LOCK TABLE"),
            "somebody holds a lock on it, see pg_locks; run again, or raise statement_timeout",
        ),
        (("permission denied",), "grant the role pg_read_all_data"),
        (("no password supplied",), "give it a password_file or url_file"),
    ):
        if any(word in said for word in words):
            return f"; {what}"
    return ""
