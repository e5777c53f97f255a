# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge's own Compose project, and the configuration everything at the edge starts from. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .errors import EdgeError
from .render import HEAD, JOURNAL, ROOT
from .routing import Certificate
from .settings import EdgeSettings

SPEC_LABEL = "landfall.edge.spec"
#: Networks between the edge and a stack carry this label; others are none of the edge's business.
NETWORK_LABEL = "landfall.edge=true"
#: Seconds until nginx is killed when its container ends.
STOP_S = 5
#: Where journald takes syslog messages on the host; systemd holds the socket, so it outlives a restart of journald.
HOST_JOURNAL = "/run/systemd/journal/dev-log"
#: Processes of the container: workers of two configurations, the health check and those of `docker exec`.
PIDS = 512
IMAGE = "nginxinc/nginx-unprivileged:1.30"


@dataclass(frozen=True)
class EdgeConfig:
    """What the operator wants of the edge; kept on the host as ``edge.json`` for the programs there.

    :param root: the edge's directory, mounted at the same path in the container
    :param container: name of the container, of its Compose project and of its own network
    :param image: nginx 1.27.3 or later that runs without root
    :param user: ``uid:gid`` nginx runs as; the uid owns the certificates' keys
    :param http_port: port of the host for HTTP
    :param https_port: port of the host for HTTPS
    :param address: address of the host to publish on, "" for all
    :param memory: memory limit of the container
    :param settings: see :class:`EdgeSettings`
    :param certificates: the certificates under ``certs/``, each ``{name, domains}``
    """

    root: str = ROOT
    container: str = "landfall-edge"
    image: str = IMAGE
    user: str = "101:101"
    http_port: int = 80
    https_port: int = 443
    address: str = ""
    memory: str = "512m"
    settings: Mapping[str, Any] = field(default_factory=dict)
    certificates: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d+:\d+", self.user):
            raise EdgeError(f"edge_user is {self.user!r}; write numbers as uid:gid, for example 101:101")
        if not self.root.startswith("/") or len(self.root) > 80:
            raise EdgeError(f"edge_root is {self.root!r}; write an absolute path of 80 characters at most")

    def edge_settings(self) -> EdgeSettings:
        """The settings, checked; clients use the published HTTPS port unless the settings say otherwise."""
        given = {key: value for key, value in self.settings.items() if value is not None}
        return EdgeSettings.from_dict({"https_port": self.https_port, **given})

    def wanted_certificates(self) -> list[Certificate]:
        """The certificates, checked."""
        return [Certificate.from_dict(one) for one in self.certificates]

    def to_json(self) -> str:
        """The text of ``edge.json``."""
        return json.dumps(asdict(replace(self, settings=dict(self.settings))), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> EdgeConfig:
        """Read ``edge.json``. :raises EdgeError: it was not written by this version of the collection"""
        try:
            data = json.loads(text)
            return cls(**{**data, "certificates": tuple(data.get("certificates", ()))})
        except (ValueError, TypeError) as problem:
            raise EdgeError(f"edge.json cannot be read ({problem}); run site.yml to write it anew") from problem


def spec(config: EdgeConfig) -> str:
    """The hash of all that needs a new container when it changes; networks are joined without one."""
    return hashlib.sha256(_compose(config, (), "").encode()).hexdigest()[:16]


def compose(config: EdgeConfig, networks: Sequence[str]) -> str:
    """The text of ``compose.yaml``. :param networks: the stacks' networks that exist on the host"""
    return _compose(config, sorted(networks), spec(config))


def _compose(config: EdgeConfig, networks: Sequence[str], label: str) -> str:
    root, settings = config.root, config.edge_settings()
    uid, _, gid = config.user.partition(":")
    address = f"{config.address}:" if config.address else ""
    ports = [f"{address}{config.http_port}:8080", f"{address}{config.https_port}:8443"]
    if settings.http3:
        ports.append(f"{address}{config.https_port}:8443/udp")
    # Sockets left by a killed container would keep nginx from starting: only its own start may remove them.
    start = f"rm -f {root}/run/edge.sock {root}/run/pools.sock; "
    start += f"exec nginx -e /dev/stderr -c {root}/current/nginx.conf -g 'daemon off;'"
    # wget where the image has it (Alpine), else bash's own sockets (Debian): no curl needed.
    probe = (
        "wget -q -O /dev/null http://127.0.0.1:8080/health 2>/dev/null || bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080; "
        'printf "GET /health HTTP/1.0\\r\\n\\r\\n" >&3; read -r line <&3; '
        'case "$$line" in *" 200"*) ;; *) exit 1;; esac\''
    )
    quote = json.dumps
    lines = [
        HEAD.rstrip(),
        "# `docker compose up` here recreates nginx: connections are cut. Reload it instead: landfall edge reload",
        f"name: {config.container}",
        "services:",
        "  nginx:",
        f"    image: {quote(config.image)}",
        f"    container_name: {config.container}",
        f"    entrypoint: [/bin/sh, -c, {quote(start)}]",
        "    command: []",
        f"    user: {quote(config.user)}",
        # Not unless-stopped: `docker kill -s HUP` counts as a stop by hand for Docker, and the edge would stay away
        # after the next reboot.
        "    restart: always",
        "    read_only: true",
        "    cap_drop: [ALL]",
        '    security_opt: ["no-new-privileges:true"]',
        f"    mem_limit: {quote(config.memory)}",
        f"    pids_limit: {PIDS}",
        # Not SIGQUIT: nginx would wait for idle connections, too (keepalive_min_timeout), and listen no more meanwhile.
        "    stop_signal: SIGTERM",
        f"    stop_grace_period: {STOP_S}s",
        f"    tmpfs: [{quote(f'/tmp:rw,nosuid,nodev,noexec,size=256m,uid={uid},gid={gid or uid},mode=0770')}]",
        "    healthcheck:",
        f"      test: [CMD-SHELL, {quote(probe)}]",
        "      interval: 10s",
        "      timeout: 5s",
        "      retries: 3",
        "      start_period: 5s",
        "    logging:",
        "      driver: json-file",
        '      options: {max-size: "20m", max-file: "5"}',
        f"    labels: {{{SPEC_LABEL}: {quote(label)}}}",
        f"    ports: [{', '.join(quote(port) for port in ports)}]",
        "    volumes:",
        f"      - {quote(f'{root}:{root}:ro')}",
        f"      - {quote(f'{root}/run:{root}/run')}",
        # A host without journald is refused, instead of a directory made in the socket's place.
        *(
            [f"      - {{type: bind, source: {HOST_JOURNAL}, target: {JOURNAL}, bind: {{create_host_path: false}}}}"]
            if settings.journal
            else []
        ),
        f"    networks: [{', '.join(['edge', *networks])}]",
        "networks:",
        "  edge:",
        f"    name: {config.container}",
        *(["    enable_ipv6: true"] if settings.ipv6 else []),
    ]
    for name in networks:
        lines.append(f"  {name}: {{name: {name}, external: true}}")
    return "\n".join(lines) + "\n"
