# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: postgresql_login
short_description: A database's URL as the parameters of community.postgresql
version_added: 0.1.0
author: Landfall contributors (@landfall)
description:
  - Takes a URL apart, so that one variable says how to get in. Pure; runs on the controller.
options:
  _input:
    description: For example C(postgresql://admin:secret@db.example.com:5432/postgres?sslmode=verify-full).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: See who may log in
  community.postgresql.postgresql_query:
    login_host: "{{ (admin_url | landfall.stack.postgresql_login).login_host }}"
"""

RETURN = r"""
_value:
  description:
    - C(login_host), C(login_port) (5432), C(login_user), C(login_password), C(login_db) (postgres), and
      C(connect_params) of what stands behind the question mark.
  type: dict
"""

from urllib.parse import parse_qsl, unquote, urlsplit

from ansible.errors import AnsibleFilterError


def postgresql_login(url: str) -> dict:
    """See the documentation of the filter."""
    try:
        found = urlsplit(str(url))
        port = found.port or 5432
    except ValueError:
        found, port = urlsplit(""), 0
    if found.scheme not in ("postgresql", "postgres") or not found.hostname or not found.username:
        # It holds a password: nothing of it is told.
        raise AnsibleFilterError("not a URL of the form postgresql://user:password@host:5432/database")
    return {
        "login_host": found.hostname,
        "login_port": port,
        "login_user": unquote(found.username),
        "login_password": unquote(found.password or ""),
        "login_db": unquote(found.path.lstrip("/")) or "postgres",
        "connect_params": dict(parse_qsl(found.query)),
    }


class FilterModule:
    def filters(self):
        return {"postgresql_login": postgresql_login}
