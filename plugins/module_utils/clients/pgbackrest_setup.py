# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pgBackRest set up on the host: cipher, configuration, the server's settings, the repository."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator

from ..backup import pgbackrest
from ..backup.pgbackrest import Server
from ..backup.ports import BackupError
from .backup_host import with_credentials
from .files import write_atomic
from .pg_cluster import OWNER, owner
from .pgbackrest import PgBackRest
from .process import runner
from .stack_containers import read_secret

DROP_IN = "90-landfall-archive.conf"


class Setup:
    """One cluster. :param say: gets a line for each thing that is changed, before it is"""

    def __init__(self, keeper: PgBackRest, say: Callable[[str], None]) -> None:
        self._k, self._c, self._say = keeper, keeper.cluster, say
        self._config = keeper.config

    def run(self, plan: bool) -> bool:
        """Set it up. :param plan: only say what would be done

        :returns: whether anything was (or would be) changed
        :raises BackupError: it cannot be; what was there stays
        """
        server = self._k.debian.server()
        if not server.running:
            raise BackupError(
                f"cluster {self._c.id} is not running: pg_ctlcluster {self._c.version} {self._c.cluster} start"
            )
        facts = self._k.debian.archive()
        wanted = pgbackrest.settings(self._k.stack, self._c)
        self._not_anothers(str(facts["mode"]), str(facts["command"]))
        must_restart = facts["mode"] != "on"
        if must_restart and not self._c.restart:
            raise BackupError(
                f"{self._c.name}: archive_mode is {facts['mode']}, and to turn it on cluster {self._c.id} must be "
                "restarted: allow it with restart: true on the source"
            )
        changed = self.configure(server, plan)
        changed = self._stanza(str(facts["system"]), plan) or changed
        differs = any(str(facts[key]) != wanted[f"archive_{key}"] for key in ("mode", "command", "timeout"))
        path = os.path.join(server.conf_dir, "conf.d", DROP_IN)
        if differs or _read(path) != pgbackrest.drop_in(wanted):
            changed = True
            self._say(f"{path}: archive_mode, archive_command, archive_timeout")
            if must_restart:
                self._say(f"PostgreSQL {self._c.id} is restarted once: archive_mode is {facts['mode']}")
            if not plan:
                self._apply(path, pgbackrest.drop_in(wanted), must_restart)
        if not plan:
            self._k.good("check")
        return changed

    def _not_anothers(self, mode: str, command: str) -> None:
        """Somebody else's archive is not taken away."""
        if mode != "off" and command not in ("", "(disabled)") and f"--config={self._k.conf} " not in command:
            raise BackupError(
                f"{self._c.name}: cluster {self._c.id} archives by {command!r} already: take that away first "
                "(archive_command = '')"
            )

    # --- the files

    def configure(self, server: Server, plan: bool = False) -> bool:
        """Cipher and configuration, which a restore needs too. :returns: whether they were (or would be) changed"""
        changed = False
        store = with_credentials(self._config.stores[0])
        where = pgbackrest.repository(self._k.stack, store)
        if store.s3 is None:
            changed = self._directory(store.path, where["repo1-path"], plan)
        cipher = self._cipher(server, where, plan)
        text = pgbackrest.conf(self._k.stack, self._c, server, where, cipher or "not made yet")
        if _read(self._k.conf) == text and os.stat(self._k.conf).st_mode & 0o777 == 0o640:
            return changed
        self._say(f"{self._k.conf}: how pgBackRest reaches {self._c.id} and store {store.name}")
        if not plan:
            # What does not open the repository never takes the place of what does: the server archives by it.
            with self._probe(text) as probe:
                self._k.info(probe)
            write_atomic(self._k.conf, text, 0o640, 0, owner()[1])
        return True

    @contextlib.contextmanager
    def _probe(self, text: str) -> Iterator[str]:
        """A configuration for a moment; its path."""
        os.makedirs(pgbackrest.CONF_DIR, mode=0o755, exist_ok=True)
        path = f"{self._k.conf}.probe"
        write_atomic(path, text, 0o640, 0, owner()[1])
        try:
            yield path
        finally:
            os.unlink(path)

    def _directory(self, root: str, path: str, plan: bool) -> bool:
        if not os.path.isdir(root):
            raise BackupError(f"{root} is not there: mount or make it first")
        rc, _out, _err = runner(60.0, OWNER)(["test", "-x", root], "/", {})
        if rc:
            raise BackupError(f"the user postgres cannot pass {root}: chmod o+x {root}, or take S3")
        if os.path.isdir(path):
            return False
        self._say(f"{path}: the repository")
        if not plan:
            os.mkdir(path, 0o750)
            os.chown(path, *owner())
        return True

    def _cipher(self, server: Server, where: dict[str, str], plan: bool) -> str:
        """The cipher; made where there is none, and no repository that needs the old one. "" in a plan for a new one"""
        path = self._config.pgbackrest_cipher_file
        if os.path.exists(path):
            return read_secret(path)
        if plan:
            self._say(f"{path}: the cipher of the repository")
            return ""
        if self._repository_there(server, where):
            raise BackupError(
                f"{path} is not there, and the repository {where['repo1-path']} is: bring the cipher back from a set "
                f"with landfall backup restore {self._k.stack} --item {pgbackrest.KEY} --to-file {path}"
            )
        self._say(f"{path}: the cipher of the repository; each set has it, encrypted")
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        write_atomic(path, secrets.token_urlsafe(48) + "\n", 0o400)
        return read_secret(path)

    def _repository_there(self, server: Server, where: dict[str, str]) -> bool:
        """Whether anything of the stanza is in the repository: names are not encrypted."""
        name = pgbackrest.stanza(self._k.stack, self._c)
        with self._probe(pgbackrest.conf(self._k.stack, self._c, server, where, "only names are asked for")) as probe:
            rc, out, err = self._k.call("repo-ls", f"archive/{name}", "--log-level-console=off", conf=probe)
        if rc:
            raise BackupError(f"{self._c.name}: the repository cannot be listed: {pgbackrest.said(err or out)}")
        return bool(out.strip())

    # --- the server

    def _apply(self, path: str, text: str, must_restart: bool) -> None:
        before = _read(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_atomic(path, text, 0o644)
        try:
            # The server reads its files for this, and changes nothing yet; what needs a restart is an error there.
            wrong = self._k.debian.ask(
                "SELECT coalesce(string_agg(sourcefile || ': ' || coalesce(name, '') || ': ' || error, '; '), '') "
                "FROM pg_file_settings WHERE error IS NOT NULL AND error <> 'setting could not be applied'"
            )
            if wrong:
                raise BackupError(f"{self._c.name}: the server would refuse its configuration: {wrong}")
            seen = self._k.debian.ask(f"SELECT count(*) FROM pg_file_settings WHERE sourcefile LIKE '%/{DROP_IN}'")
            if seen == "0":
                raise BackupError(f"{self._c.name}: {path} is not read: postgresql.conf lacks include_dir = 'conf.d'")
        except BackupError:
            if before is None:
                os.unlink(path)
            else:
                write_atomic(path, before, 0o644)
            raise
        self._k.debian.ctl("restart" if must_restart else "reload")
        wanted = pgbackrest.settings(self._k.stack, self._c)
        facts = self._k.debian.settled(wanted)
        wrong = ", ".join(name for name, value in wanted.items() if facts[name] != value)
        if wrong:
            raise BackupError(
                f"{self._c.name}: {wrong} stays as it was: something set it after conf.d; see pg_settings.sourcefile, "
                "and take it away (ALTER SYSTEM RESET …)"
            )

    def _stanza(self, system: str, plan: bool) -> bool:
        if plan and not os.path.exists(self._k.conf):
            self._say(f"{pgbackrest.stanza(self._k.stack, self._c)}: the stanza in the repository")
            return True
        found = self._k.info()
        if found.system and found.system != system:
            raise BackupError(
                f"{self._c.name}: the repository belongs to another cluster than {self._c.id} is now (system "
                f"identifier {found.system}, not {system}). Restore it in place first, or give the source another name"
            )
        if found.stanza and found.system:
            return False
        self._say(f"{pgbackrest.stanza(self._k.stack, self._c)}: the stanza in the repository")
        if not plan:
            self._k.good("stanza-create")
        return True


def _read(path: str) -> str | None:
    with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
        return file.read()
    return None
