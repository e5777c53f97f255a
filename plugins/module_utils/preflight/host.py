# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of the host itself: pure functions from facts and policy to findings."""

from __future__ import annotations

from .facts import Disk, Facts, Policy
from .findings import ERROR, OK, WARNING, Finding

SUPPORTED = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04")}
SUPPORTED_TEXT = "Debian 12 or 13, or Ubuntu 22.04 or 24.04"
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
MIN_INODES = 20000

_KERNEL = {
    "overlay": "the overlay file system",
    "cgroup": "the memory cgroup controller",
    "bridge": "bridge netfilter (br_netfilter)",
    "iptables": "iptables or nftables NAT",
}


def check_os(facts: Facts, policy: Policy) -> list[Finding]:
    """Operating system and its version."""
    name = facts.os_name or facts.os_id or "An unknown operating system"
    if facts.os_version in SUPPORTED.get(facts.os_id, ()):
        return [Finding("os", OK, name)]
    if policy.allow_unsupported_os:
        return [Finding("os", WARNING, f"{name} is not supported.", f"Tested are {SUPPORTED_TEXT}.")]
    return [
        Finding(
            "os",
            ERROR,
            f"{name} is not supported.",
            f"Use {SUPPORTED_TEXT}; preflight_allow_unsupported_os: true tries anyway.",
        )
    ]


def check_architecture(facts: Facts, policy: Policy) -> list[Finding]:
    """Processor architecture."""
    known = ARCHITECTURES.get(facts.machine)
    if known:
        return [Finding("architecture", OK, known)]
    return [
        Finding(
            "architecture",
            ERROR,
            f"The processor architecture {facts.machine or 'unknown'} is not supported.",
            "Use an amd64 (x86_64) or arm64 (aarch64) host.",
        )
    ]


def check_memory(facts: Facts, policy: Policy) -> list[Finding]:
    """RAM, or the cgroup's limit where that is lower."""
    have = facts.memory_mb
    if have < policy.min_memory_mb:
        return [
            Finding(
                "memory",
                ERROR,
                f"The host has {have} MB of RAM; {policy.min_memory_mb} MB are needed.",
                "Give the host more RAM, or lower preflight_min_memory_mb for a small stack.",
            )
        ]
    if have < policy.warn_memory_mb:
        return [
            Finding(
                "memory",
                WARNING,
                f"The host has {have} MB of RAM; below {policy.warn_memory_mb} MB a stack gets tight.",
                "Give the host more RAM, or set memory limits on the services.",
            )
        ]
    return [Finding("memory", OK, f"{have} MB")]


def check_disk(facts: Facts, policy: Policy) -> list[Finding]:
    """Free space and inodes where images, volumes and releases go."""
    found = []
    for disk in facts.disks:
        found += _check_one_disk(disk, policy)
    if not found and facts.disks:
        found.append(Finding("disk", OK, ", ".join(f"{d.path}: {d.free_mb} MB free" for d in facts.disks)))
    return found


def _check_one_disk(disk: Disk, policy: Policy) -> list[Finding]:
    if disk.read_only:
        return [
            Finding(
                "disk",
                ERROR,
                f"The file system of {disk.path} is read-only.",
                f"Look for disk errors (dmesg), then remount it: mount -o remount,rw {disk.path}",
            )
        ]
    found = []
    if disk.free_mb < policy.min_disk_mb:
        found.append(
            Finding(
                "disk",
                ERROR,
                f"{disk.path} has {disk.free_mb} MB free; {policy.min_disk_mb} MB are needed.",
                f"Free space on {disk.path} (du -xh -d1 {disk.path} | sort -h; docker image prune; "
                "apt-get clean; journalctl --vacuum-size=200M), enlarge the disk, or lower preflight_min_disk_mb.",
            )
        )
    if disk.total_inodes and disk.free_inodes < MIN_INODES:
        found.append(
            Finding(
                "disk",
                ERROR,
                f"{disk.path} has {disk.free_inodes} inodes free; {MIN_INODES} are needed.",
                f"Find the directory with many small files (du --inodes -xd2 {disk.path} | sort -n) and clear it.",
            )
        )
    return found


def check_clock(facts: Facts, policy: Policy) -> list[Finding]:
    """Clock of the host against the controller's."""
    skew = facts.clock_skew
    if skew is None:
        return []
    if abs(skew) <= policy.max_clock_skew:
        return [Finding("clock", OK, f"within {policy.max_clock_skew} s of the controller's")]
    side = "ahead of" if skew > 0 else "behind"
    return [
        Finding(
            "clock",
            ERROR,
            f"The host's clock is {abs(skew):.0f} s {side} the controller's; certificates and tokens will be refused.",
            "Set the time by network (apt-get install systemd-timesyncd; timedatectl set-ntp true), "
            "and check that the controller's own clock is right.",
        )
    ]


def check_init(facts: Facts, policy: Policy) -> list[Finding]:
    """Systemd as the init system: services and timers are its units."""
    if facts.init == "systemd":
        return [Finding("init", OK, "systemd")]
    return [
        Finding(
            "init",
            ERROR,
            f"The init system is {facts.init or 'unknown'}, not systemd.",
            "Use a host that boots with systemd; a plain container is no host "
            "(its first process must be /sbin/init of systemd).",
        )
    ]


def check_apt(facts: Facts, policy: Policy) -> list[Finding]:
    """The package manager: there, free, and with nothing half done."""
    apt = facts.apt
    if not apt.present:
        return [Finding("apt", ERROR, "apt-get is not on the host.", f"Use {SUPPORTED_TEXT}.")]
    found = []
    if apt.broken:
        names = ", ".join(apt.broken[:5]) + (f" and {len(apt.broken) - 5} more" if len(apt.broken) > 5 else "")
        found.append(
            Finding(
                "apt",
                ERROR,
                f"Packages are only half installed: {names}.",
                "Finish them on the host: dpkg --configure -a && apt-get -f install",
            )
        )
    if apt.lock_pid is not None:
        found.append(
            Finding(
                "apt",
                WARNING,
                f"{apt.lock_program or 'Another program'} (pid {apt.lock_pid}) is installing packages now "
                "and holds dpkg's lock.",
                "Let it finish (on a new host: cloud-init status --wait); package tasks wait for it for a minute.",
            )
        )
    return found or [Finding("apt", OK, "ready")]


def check_kernel(facts: Facts, policy: Policy) -> list[Finding]:
    """Kernel features that Docker cannot do without."""
    kernel = facts.kernel
    if kernel.modules_missing:
        return [
            Finding(
                "kernel",
                ERROR,
                f"The modules of the running kernel {kernel.release} are no longer on the disk, "
                f"and it lacks {_features(kernel.missing)}.",
                "A newer kernel was installed: reboot the host.",
            )
        ]
    if kernel.missing:
        return [
            Finding(
                "kernel",
                ERROR,
                f"The kernel {kernel.release} lacks {_features(kernel.missing)}.",
                "Boot the distribution's own kernel; an OpenVZ or LXC guest needs nesting switched on by its provider.",
            )
        ]
    if kernel.unknown:
        text = f"{kernel.release}; inside a container it can't be told whether it has {_features(kernel.unknown)}"
        return [Finding("kernel", OK, text)]
    return [Finding("kernel", OK, kernel.release)]


def _features(names: tuple[str, ...]) -> str:
    return ", ".join(_KERNEL.get(name, name) for name in names)


def check_docker(facts: Facts, policy: Policy) -> list[Finding]:
    """Whether Docker's source can give Compose v2 on this system; an engine that is there already is kept."""
    daemon = facts.daemon
    if daemon.compose_v2:
        return [Finding("docker", OK, "Compose v2 is on the host already")]
    if policy.compose_required and (facts.os_id, facts.os_version) == ("debian", "12"):
        if "docker.io" in daemon.packages:
            return [
                Finding(
                    "docker",
                    ERROR,
                    "Debian 12's own Docker is installed, and it has no Compose v2.",
                    "Stop its containers, apt-get remove docker.io on the host, and set docker_source: docker "
                    "(Docker's own repository); images and volumes stay.",
                )
            ]
        if policy.docker_source == "distribution" and "docker-ce" not in daemon.packages:
            return [
                Finding(
                    "docker",
                    ERROR,
                    "Debian 12's own packages have no Docker Compose v2.",
                    "Set docker_source: docker (Docker's own repository), or use Debian 13.",
                )
            ]
    return [Finding("docker", OK, f"from {'the distribution' if policy.docker_source == 'distribution' else 'Docker'}")]


def check_conflicts(facts: Facts, policy: Policy) -> list[Finding]:
    """Software and settings that get in Docker's way: warnings only."""
    daemon = facts.daemon
    found = []
    if daemon.snap:
        found.append(
            Finding(
                "conflicts",
                WARNING,
                "Docker is installed as a snap too; two daemons fight over networks and ports.",
                "Move its data, then: snap remove docker",
            )
        )
    if "podman-docker" in daemon.packages:
        found.append(
            Finding(
                "conflicts",
                WARNING,
                "The package podman-docker puts Podman in the place of the docker command.",
                "apt-get remove podman-docker",
            )
        )
    other = "docker.io" if policy.docker_source == "docker" else "docker-ce"
    if other in daemon.packages:
        kept = "distribution" if other == "docker.io" else "docker"
        found.append(
            Finding(
                "conflicts",
                WARNING,
                f"The package {other} is installed and is kept, though docker_source is {policy.docker_source}.",
                f"Set docker_source: {kept}; or remove {other} first to change the source (a short outage).",
            )
        )
    if daemon.iptables_off:
        found.append(
            Finding(
                "conflicts",
                WARNING,
                '/etc/docker/daemon.json says "iptables": false; containers get no network and no firewall rules.',
                "Remove the key from /etc/docker/daemon.json; the firewall is kept by the DOCKER-USER chain.",
            )
        )
    if daemon.config_error:
        found.append(
            Finding(
                "conflicts",
                WARNING,
                f"/etc/docker/daemon.json can't be read as JSON: {daemon.config_error}.",
                "Correct or remove /etc/docker/daemon.json on the host.",
            )
        )
    return found or [Finding("conflicts", OK, "none")]
