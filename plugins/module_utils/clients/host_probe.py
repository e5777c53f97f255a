# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathers the facts of the preflight from the host it runs on. Reads only; needs nothing but Python and /proc."""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import socket
import ssl
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ..preflight import parse
from ..preflight.facts import Apt, Daemon, Disk, Facts, Image, Kernel, Listener, Mirror, Name
from .registry import UNREACHABLE, Credentials, ImageName, Registry, docker_auths

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
DAEMON_JSON = "/etc/docker/daemon.json"
DPKG_LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock")
# Where distributions and Docker put the plugin.
COMPOSE_PLUGINS = (
    "/usr/libexec/docker/cli-plugins/docker-compose",
    "/usr/lib/docker/cli-plugins/docker-compose",
    "/usr/local/lib/docker/cli-plugins/docker-compose",
    "/usr/local/libexec/docker/cli-plugins/docker-compose",
    "/root/.docker/cli-plugins/docker-compose",
)
# Modules of which one has to be there for a feature that the running kernel does not show.
KERNEL_MODULES = {
    "overlay": ("overlay",),
    "bridge": ("br_netfilter",),
    "iptables": ("iptable_nat", "nft_chain_nat", "nf_nat"),
}


@dataclass(frozen=True)
class Request:
    """What to look at.

    images: (stack, service, image); reached_at: address or name the controller uses; controller_time: its clock as
    seconds since 1970, None to leave the clock out; docker_repository: base URL of Docker's repository, empty when it
    is not used; timeout: seconds for one network answer.
    """

    paths: Sequence[str] = ("/", "/var/lib", "/var/lib/docker", "/opt")
    ports: Sequence[int] = (80, 443)
    names: Sequence[str] = ()
    images: Sequence[tuple[str, str, str]] = ()
    reached_at: str = ""
    controller_time: float | None = None
    docker_repository: str = ""
    mirrors: Sequence[str] = ()
    insecure: Sequence[str] = ()
    credentials: Mapping[str, Credentials] | None = None
    timeout: float = 5.0
    skip: Sequence[str] = ()


def gather(request: Request) -> Facts:
    """Return the facts of this host. What can't be read is left at its default; never raises for the host's state."""
    skew = None if request.controller_time is None else time.time() - request.controller_time
    release = parse.os_release(_read("/etc/os-release") or _read("/usr/lib/os-release"))
    installed, broken = parse.packages(_read("/var/lib/dpkg/status"))
    config, config_error = _daemon_config()
    engines = installed & {"docker.io", "docker-ce"}
    # An engine that is there is kept: its repository is asked only when apt has it among its sources.
    names, mirrors, images = _network(request, release, config, "" if engines else request.docker_repository)
    return Facts(
        os_id=release.get("ID", ""),
        os_version=release.get("VERSION_ID", ""),
        os_name=release.get("PRETTY_NAME", ""),
        machine=os.uname().machine,
        memory_mb=_memory_mb(),
        root=os.geteuid() == 0,
        init=_init(),
        clock_skew=skew,
        disks=tuple(_disks(request.paths)),
        addresses=tuple(_addresses(request.reached_at)),
        names=names,
        listeners=tuple(_listeners(request.ports)),
        mirrors=mirrors,
        images=images,
        kernel=_kernel(),
        apt=_apt(broken),
        daemon=Daemon(
            compose_v2=any(os.path.exists(path) for path in COMPOSE_PLUGINS),
            iptables_off=config.get("iptables") is False,
            config_error=config_error,
            snap=os.path.isdir("/snap/docker") or os.path.isdir("/var/snap/docker"),
            packages=tuple(sorted(installed & {"docker.io", "docker-ce", "podman-docker"})),
        ),
    )


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _run(*argv: str) -> str:
    """Return what a program says on its standard output, empty when it is missing, fails or hangs."""
    try:
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def together(jobs: Mapping[Key, Callable[[], Value]], deadline: float) -> dict[Key, Value]:
    """Return the results of jobs, run in parallel; those not done after deadline seconds are left out.

    The threads are daemons: a resolver that hangs must not keep the program from ending.
    """
    results: dict[Key, Value] = {}

    def work(key: Key, job: Callable[[], Value]) -> None:
        results[key] = job()

    threads = [threading.Thread(target=work, args=item, daemon=True) for item in jobs.items()]
    for thread in threads:
        thread.start()
    end = time.monotonic() + deadline
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return dict(results)


def _network(
    request: Request, release: Mapping[str, str], config: Mapping[str, Any], repository: str
) -> tuple[tuple[Name, ...], tuple[Mirror, ...], tuple[Image, ...]]:
    """Return what names, package sources and registries answered; all are asked at once."""
    names = [] if "dns" in request.skip else list(dict.fromkeys(request.names))
    sources = [] if "mirrors" in request.skip else _sources(repository, release)
    wanted = [] if "registry" in request.skip else list(dict.fromkeys(item[2] for item in request.images))
    # A bare host has no CA certificates before the first role: nothing can be verified, so nothing secret is sent.
    context = None if os.path.exists(CA_BUNDLE) else ssl._create_unverified_context()
    proxies = parse.apt_proxies(_run("apt-config", "dump")) if sources else {}
    auths = docker_auths(_read("/root/.docker/config.json")) if wanted else {}
    registry = Registry(
        mirrors=[*request.mirrors, *_strings(config.get("registry-mirrors"))],
        insecure=[*request.insecure, *_strings(config.get("insecure-registries"))],
        credentials={**auths, **(request.credentials or {})} if context is None else {},
        timeout=request.timeout,
        context=context,
    )
    jobs: dict[tuple[str, Any], Callable[[], Any]] = {}
    for name in names:
        jobs["name", name] = lambda name=name: _resolve(name)  # type: ignore[misc]
    for source in sources:
        jobs["source", source] = lambda source=source: _mirror(source, proxies, context, request.timeout)  # type: ignore[misc]
    for image in wanted:
        jobs["image", image] = lambda image=image: registry.resolve(image)  # type: ignore[misc]
    # A registry with a login needs three answers: the deadline is for all of a job.
    answers = together(jobs, 2 * request.timeout)
    late = "no answer in time"
    local = _local_images() if wanted else frozenset()
    images = []
    for stack, service, image in request.images:
        if image not in wanted:
            continue
        answer = answers.get(("image", image))
        images.append(
            Image(
                stack,
                service,
                image,
                registry=answer.registry if answer else _registry_of(image),
                reason=answer.reason if answer else UNREACHABLE,
                detail=answer.detail if answer else late,
                on_host=_tagged(image) in local,
            )
        )
    return (
        tuple(answers.get(("name", name)) or Name(name, error=late) for name in names),
        tuple(
            answers.get(("source", source)) or Mirror(source.release_url(), "unreachable", late) for source in sources
        ),
        tuple(images),
    )


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _registry_of(image: str) -> str:
    try:
        return ImageName.parse(image).registry
    except ValueError:
        return ""


def _tagged(image: str) -> str:
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"


def _local_images() -> frozenset[str]:
    return frozenset(_run("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split())


def _resolve(name: str) -> Name:
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as problem:
        return Name(name, error=problem.strerror or str(problem))
    except (OSError, UnicodeError) as problem:
        return Name(name, error=str(problem))
    return Name(name, addresses=tuple(dict.fromkeys(str(answer[4][0]) for answer in answers)))


def _sources(docker_repository: str, release: Mapping[str, str]) -> list[parse.Source]:
    """Return apt's HTTP sources, and Docker's repository when it is used; each release file once."""
    found: list[parse.Source] = parse.one_line_sources(_read("/etc/apt/sources.list"))
    for path in sorted(glob.glob("/etc/apt/sources.list.d/*.list")):
        found += parse.one_line_sources(_read(path))
    for path in sorted(glob.glob("/etc/apt/sources.list.d/*.sources")):
        found += parse.deb822_sources(_read(path))
    codename = release.get("VERSION_CODENAME", "")
    if docker_repository and codename:
        found.append(parse.Source(f"{docker_repository.rstrip('/')}/{release.get('ID', 'debian')}", codename))
    unique = {source.release_url(): source for source in found if source.uri.startswith(("http://", "https://"))}
    return list(unique.values())


def _mirror(source: parse.Source, proxies: Mapping[str, str], context: ssl.SSLContext | None, timeout: float) -> Mirror:
    """Return whether the source's release file is there, asked for through apt's own proxies."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context)]
    if proxies:
        direct = {scheme: url for scheme, url in proxies.items() if url.upper() != "DIRECT"}
        handlers.append(urllib.request.ProxyHandler(direct))
    opener = urllib.request.build_opener(*handlers)
    shown = source.release_url()
    shown = shown.rpartition("/")[0]
    for name in ("InRelease", "Release"):
        request = urllib.request.Request(source.release_url(name), method="HEAD", headers={"User-Agent": "landfall"})
        try:
            with opener.open(request, timeout=timeout):
                return Mirror(shown)
        except urllib.error.HTTPError as problem:
            problem.close()
            if problem.code == 401:
                # It answers; its login stands in auth.conf, which is not read here.
                return Mirror(shown)
            if problem.code not in (404, 410):
                return Mirror(shown, "refused" if problem.code < 500 else "unreachable", f"HTTP {problem.code}")
        except urllib.error.URLError as problem:
            if isinstance(problem.reason, ssl.SSLCertVerificationError):
                return Mirror(shown, "tls", problem.reason.verify_message)
            reason = problem.reason
            text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
            return Mirror(shown, "unreachable", "no answer in time" if "timed out" in text else text)
        except (OSError, ValueError) as problem:
            text = str(problem)
            return Mirror(shown, "unreachable", "no answer in time" if "timed out" in text else text)
    return Mirror(shown, "missing", "HTTP 404")


def _memory_mb() -> int:
    """Return the RAM in MiB, or the cgroup's limit where that is lower (a container that plays the host)."""
    have = parse.memory_mb(_read("/proc/meminfo"))
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(path).strip()
        if text.isdigit():
            have = min(have, int(text) // (1 << 20))
    return have


def _init() -> str:
    if os.path.isdir("/run/systemd/system"):
        return "systemd"
    return _read("/proc/1/comm").strip()


def _disks(paths: Iterable[str]) -> list[Disk]:
    """Return the file systems of paths, each once, under the first path on it; a path not there yet is its parent's."""
    found: dict[int, Disk] = {}
    for path in paths:
        place = path
        while not os.path.exists(place) and place != "/":
            place = os.path.dirname(place.rstrip("/")) or "/"
        try:
            device = os.stat(place).st_dev
            state = os.statvfs(place)
        except OSError:
            continue
        found.setdefault(
            device,
            Disk(
                path,
                free_mb=state.f_bavail * state.f_frsize // (1 << 20),
                free_inodes=state.f_favail,
                total_inodes=state.f_files,
                read_only=bool(state.f_flag & os.ST_RDONLY),
            ),
        )
    return list(found.values())


def _addresses(reached_at: str) -> list[str]:
    """Return the host's addresses: of its interfaces, and the one the controller reaches it at."""
    found: list[str] = []
    for line in _run("ip", "-o", "addr", "show").splitlines():
        fields = line.split()
        # Docker's own bridges lead to containers, not to the host.
        bridge = len(fields) > 1 and fields[1].startswith(("docker", "br-", "veth"))
        if len(fields) > 3 and fields[2] in ("inet", "inet6") and not bridge:
            found.append(fields[3].split("/", 1)[0])
    if not found:
        found = _addresses_of_proc()
    if reached_at:
        found += _resolve(reached_at).addresses
    return list(dict.fromkeys(found))


def _addresses_of_proc() -> list[str]:
    """Return addresses without iproute2: local IPv4 ones of the routing table, IPv6 ones of if_inet6."""
    found: list[str] = []
    before = ""
    for line in _read("/proc/net/fib_trie").splitlines():
        address = before.rpartition(" ")[2]
        if "/32 host LOCAL" in line and address not in found:
            found.append(address)
        before = line
    for line in _read("/proc/net/if_inet6").splitlines():
        raw = line.split(" ", 1)[0]
        found.append(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(raw)))
    return found


def _listeners(ports: Sequence[int]) -> list[Listener]:
    """Return who listens on ports, one entry a port."""
    inodes: dict[int, list[int]] = {}
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        for port, sockets in parse.listening_inodes(_read(path), ports).items():
            inodes.setdefault(port, []).extend(sockets)
    published: dict[int, tuple[str, ...]] = {}
    if os.path.exists("/run/docker.sock") or os.path.exists("/var/run/docker.sock"):
        published = parse.published(_run("docker", "ps", "--format", "{{.Names}}\t{{.Ports}}"))
    if not inodes:
        # Docker can publish a port by firewall rules alone, with nobody listening.
        return [Listener(port, containers=published[port]) for port in ports if port in published]
    owners = _owners({inode for sockets in inodes.values() for inode in sockets})
    found = []
    for port in ports:
        pid = next((owners[inode] for inode in inodes.get(port, ()) if inode in owners), None)
        program = _program(pid) if pid else ""
        # Only Docker's own programs listen for a container; any other program has the port for itself.
        by_docker = pid is None or program in ("docker-proxy", "dockerd", "rootlesskit")
        containers = published.get(port, ()) if by_docker else ()
        if port in inodes or containers:
            found.append(Listener(port, pid, program, parse.unit_of(_read(f"/proc/{pid}/cgroup")), containers))
    return found


def _owners(inodes: set[int]) -> dict[int, int]:
    """Return the lowest process id by socket inode, as far as this user may see it."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, int] = {}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            with os.scandir(f"/proc/{pid}/fd") as entries:
                for entry in entries:
                    inode = wanted.get(_link(entry.path))
                    if inode is not None:
                        found.setdefault(inode, pid)
        except OSError:
            continue
        if len(found) == len(wanted):
            break
    return found


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _program(pid: int) -> str:
    """Return the name of a process; for an interpreter with -m the module too, since ``python3`` says nothing."""
    name = _read(f"/proc/{pid}/comm").strip()
    argv = _read(f"/proc/{pid}/cmdline").split("\0")
    if name.startswith("python") and len(argv) > 2 and argv[1] == "-m":
        return f"{name} -m {argv[2]}"
    return name


def _kernel() -> Kernel:
    release = os.uname().release
    tree = f"/lib/modules/{release}"
    modules = _read(f"{tree}/modules.dep") + _read(f"{tree}/modules.builtin")
    shown = {
        "overlay": "\toverlay" in _read("/proc/filesystems"),
        "cgroup": _has_memory_cgroup(),
        "bridge": os.path.isdir("/proc/sys/net/bridge"),
        "iptables": os.path.exists("/proc/net/ip_tables_names") or os.path.isdir("/sys/module/nf_tables"),
    }
    lacking = []
    for feature, there in shown.items():
        names = KERNEL_MODULES.get(feature, ())
        if not there and not any(f"/{name}.ko" in modules for name in names):
            lacking.append(feature)
    if not lacking:
        return Kernel(release)
    if _in_container():
        return Kernel(release, unknown=tuple(lacking))
    # Other kernels' modules are there, this one's are not: it was replaced while it ran.
    replaced = not os.path.isdir(tree) and bool(glob.glob("/lib/modules/*/modules.dep"))
    if not modules and not replaced:
        # A kernel without loadable modules does not tell what is built in.
        return Kernel(release, unknown=tuple(lacking))
    return Kernel(release, missing=tuple(lacking), modules_missing=replaced)


def _has_memory_cgroup() -> bool:
    if "memory" in _read("/sys/fs/cgroup/cgroup.controllers").split():
        return True
    for line in _read("/proc/cgroups").splitlines():
        fields = line.split()
        if fields[:1] == ["memory"]:
            return fields[-1] == "1"
    return False


def _in_container() -> bool:
    return (
        os.path.exists("/run/systemd/container")
        or os.path.exists("/.dockerenv")
        or os.path.exists("/run/.containerenv")
        or "container=" in _read("/proc/1/environ")
    )


def _apt(broken: tuple[str, ...]) -> Apt:
    present = os.access("/usr/bin/apt-get", os.X_OK)
    for path in DPKG_LOCKS:
        pid = lock_owner(path)
        if pid is not None:
            return Apt(present, pid, _program(pid), broken if not _busy(pid) else ())
    return Apt(present, broken=broken)


def _busy(pid: int) -> bool:
    """Whether the owner of dpkg's lock lives: packages on their way are then no fault."""
    return os.path.exists(f"/proc/{pid}")


def lock_owner(path: str) -> int | None:
    """Return the process that holds a lock on the file at path, None when nobody does; takes no lock itself."""
    # struct flock of 64-bit Linux: type, whence, start, length, pid.
    layout = "hhqqi"
    try:
        with open(path, "rb") as file:
            answer = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(layout, fcntl.F_WRLCK, 0, 0, 0, 0))
    except OSError as problem:
        if problem.errno in (errno.ENOENT, errno.EACCES):
            return None
        raise
    kind, _whence, _start, _length, pid = struct.unpack(layout, answer)
    return None if kind == fcntl.F_UNLCK else int(pid)


def _daemon_config() -> tuple[dict[str, Any], str]:
    """Return daemon.json and why it can't be read, empty when it can or is not there."""
    text = _read(DAEMON_JSON)
    if not text.strip():
        return {}, ""
    try:
        config = json.loads(text)
    except ValueError as problem:
        return {}, str(problem)
    return (config, "") if isinstance(config, dict) else ({}, "it is not an object")
