"""Checks of the Docker daemon and of containers, after the CIS Docker Benchmark 1.6. Pure: `docker info` and
`docker inspect` in, findings out. The number before each name is the benchmark's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .findings import Finding

#: The container's own directories that must not be the host's (5.5).
SENSITIVE = ("/", "/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr")
#: Without port and address these are open to everybody (5.13).
ANYWHERE = ("", "0.0.0.0", "::")


def container(inspect: Mapping[str, Any]) -> list[Finding]:
    """What the benchmark's chapters 4 and 5 find in a running container."""
    config, host = inspect["Config"], inspect["HostConfig"]
    labels = config.get("Labels") or {}
    # Replicas have one definition: they are one finding.
    name = labels.get("com.docker.compose.service") or inspect["Name"].lstrip("/")
    if project := labels.get("com.docker.compose.project"):
        name = f"{project}/{name}"
    options = [option.lower() for option in host.get("SecurityOpt") or []]
    mounts = [mount["Source"] for mount in inspect.get("Mounts", []) if mount["Type"] == "bind"]
    published = [one.get("HostIp", "") for ports in (host.get("PortBindings") or {}).values() for one in ports or []]
    restart = host.get("RestartPolicy", {})
    wrong = {
        "4.1 root": (config.get("User") or "0").split(":")[0] in ("0", "root"),
        "4.6 no healthcheck": not config.get("Healthcheck"),
        "5.1 AppArmor off": "apparmor=unconfined" in options or "apparmor:unconfined" in options,
        "5.3 capabilities": [cap.upper() for cap in host.get("CapDrop") or []] != ["ALL"] or bool(host.get("CapAdd")),
        "5.4 privileged": bool(host.get("Privileged")),
        "5.5 directory of the host": any(mount in SENSITIVE for mount in mounts),
        "5.9 network of the host": host.get("NetworkMode") == "host",
        "5.10 no memory limit": not host.get("Memory"),
        "5.11 no CPU limit": not (host.get("NanoCpus") or host.get("CpuQuota") or host.get("CpuShares")),
        "5.12 root file system can be written": not host.get("ReadonlyRootfs"),
        "5.13 published on all addresses": any(address in ANYWHERE for address in published),
        "5.14 restarts without end": restart.get("Name") in ("always", "unless-stopped"),
        "5.15 processes of the host": host.get("PidMode") == "host",
        "5.16 IPC of the host": host.get("IpcMode") == "host",
        "5.20 UTS of the host": host.get("UTSMode") == "host",
        "5.21 seccomp off": "seccomp=unconfined" in options or "seccomp:unconfined" in options,
        "5.25 may gain privileges": not any(
            option in ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true") for option in options
        ),
        "5.28 no limit of processes": (host.get("PidsLimit") or 0) <= 0,
        "5.29 default bridge": host.get("NetworkMode") in ("default", "bridge"),
        "5.31 docker.sock": any(mount.endswith("/docker.sock") for mount in mounts),
    }
    return [Finding("container", f"{name} {what}", what) for what, is_wrong in wrong.items() if is_wrong]


def daemon(info: Mapping[str, Any], config: Mapping[str, Any], bridge: Mapping[str, Any], modes: str) -> list[Finding]:
    """What the benchmark's chapters 2 and 3 find.

    :param info: ``docker info``
    :param config: daemon.json
    :param bridge: the options of the network ``bridge``
    :param modes: ``stat -c '%n %a %U:%G'`` of the daemon's files, one a line
    """
    options = [option.split("=", 1)[-1].split(",")[0] for option in info.get("SecurityOptions") or []]
    addresses = [host for host in config.get("hosts", []) if host.startswith("tcp:")]
    driver = info.get("LoggingDriver", "")
    there = dict(line.split(" ", 1) for line in modes.splitlines() if line.strip())
    insecure = [
        name for name, one in (info.get("RegistryConfig", {}).get("IndexConfigs") or {}).items() if not one["Secure"]
    ]
    wrong = {
        "2.2 containers of the default bridge reach each other": bridge.get("com.docker.network.bridge.enable_icc")
        != "false",
        "2.3 log level": config.get("log-level", "info") != "info",
        "2.4 no iptables": config.get("iptables", True) is False,
        "2.5 registry without TLS": bool(insecure),
        "2.6 aufs": info.get("Driver") == "aufs",
        "2.7 TCP without TLS": bool(addresses) and not config.get("tlsverify"),
        "2.8 no default ulimit": not config.get("default-ulimits"),
        "2.9 no user namespace": "userns" not in options and "rootless" not in options,
        "2.13 logs without end": driver == "json-file" and "max-size" not in config.get("log-opts", {}),
        "2.14 containers may gain privileges": not config.get("no-new-privileges"),
        "2.15 no live restore": not info.get("LiveRestoreEnabled"),
        "2.16 userland proxy": config.get("userland-proxy", True),
        "2.17 no seccomp": "seccomp" not in options,
        "2.18 experimental": bool(info.get("ExperimentalBuild")),
        "3.15 docker.sock": there.get("/run/docker.sock") != "660 root:docker",
        "3.17 daemon.json": there.get("/etc/docker/daemon.json", "644 root:root")
        not in ("644 root:root", "640 root:root", "600 root:root"),
        "3.5 /etc/docker": there.get("/etc/docker", "755 root:root") not in ("755 root:root", "750 root:root"),
    }
    return [Finding("daemon", what, what) for what, is_wrong in wrong.items() if is_wrong]
