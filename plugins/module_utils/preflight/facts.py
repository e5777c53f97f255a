# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of a host before anything changes: plain values, gathered elsewhere, judged by the checks."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Disk:
    """Free room at a path; sizes in MiB. total_inodes is 0 on file systems without a fixed number of inodes."""

    path: str
    free_mb: int
    free_inodes: int = 0
    total_inodes: int = 0
    read_only: bool = False


@dataclass(frozen=True)
class Listener:
    """Who listens on a TCP port. pid is None when it can't be told without root; containers publish the port."""

    port: int
    pid: int | None = None
    program: str = ""
    unit: str = ""
    containers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Name:
    """What a routed name resolves to on the host. error is the resolver's word when it is not empty."""

    name: str
    addresses: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Mirror:
    """Answer of a package source. reason: empty (it answers), unreachable, missing, refused or tls."""

    url: str
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Image:
    """Answer of a registry for one service's image. reason: empty (it resolves) or one of clients.registry's."""

    stack: str
    service: str
    image: str
    registry: str = ""
    reason: str = ""
    detail: str = ""
    on_host: bool = False


@dataclass(frozen=True)
class Kernel:
    """Kernel features. unknown holds those that can't be told from inside a container."""

    release: str = ""
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    modules_missing: bool = False


@dataclass(frozen=True)
class Apt:
    """State of the package manager. broken: packages that are half-installed or not configured."""

    present: bool = True
    lock_pid: int | None = None
    lock_program: str = ""
    broken: tuple[str, ...] = ()


@dataclass(frozen=True)
class Daemon:
    """What is there of Docker and of what gets in its way. config_error: why daemon.json can't be read."""

    compose_v2: bool = False
    iptables_off: bool = False
    config_error: str = ""
    snap: bool = False
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """All that the checks judge. memory_mb in MiB; clock_skew in seconds, host minus controller, None: not known."""

    os_id: str = ""
    os_version: str = ""
    os_name: str = ""
    machine: str = ""
    memory_mb: int = 0
    root: bool = True
    init: str = ""
    clock_skew: float | None = None
    disks: tuple[Disk, ...] = ()
    addresses: tuple[str, ...] = ()
    names: tuple[Name, ...] = ()
    listeners: tuple[Listener, ...] = ()
    mirrors: tuple[Mirror, ...] = ()
    images: tuple[Image, ...] = ()
    kernel: Kernel = field(default_factory=Kernel)
    apt: Apt = field(default_factory=Apt)
    daemon: Daemon = field(default_factory=Daemon)


@dataclass(frozen=True)
class Policy:
    """What the operator demands. Sizes in MiB, times in seconds; dns is ``fail``, ``warn`` or ``skip``."""

    allow_unsupported_os: bool = False
    min_memory_mb: int = 900
    warn_memory_mb: int = 1800
    min_disk_mb: int = 4096
    max_clock_skew: int = 30
    dns: str = "fail"
    public_addresses: tuple[str, ...] = ()
    ports: tuple[int, ...] = (80, 443)
    edge_container: str = "landfall-edge"
    docker_source: str = "docker"
    compose_required: bool = True
    skip: tuple[str, ...] = ()
