"""One lab: a network with a DNS server, an ACME CA, a registry, an S3 server, and systemd hosts on it.

Each lab has a name (``demo`` for `make demo`, ``test`` for the suite, ``bench`` for `make bench-rollout`, ``move``), a
network of its own and a state directory ``.lab/<name>/`` with the SSH key, the known_hosts file, the lab's CA and an
inventory fragment.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import images
from .shell import LabError, docker, run, say, sudo, wait_for

PROJECT = Path(__file__).resolve().parents[2]
# What a systemd container with an own Docker Engine needs; --privileged is not to be had everywhere.
CAPS = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "BLOCK_SUSPEND",
    "DAC_READ_SEARCH",
    "IPC_LOCK",
    "IPC_OWNER",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "NET_ADMIN",
    "NET_BROADCAST",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "SYSLOG",
    "WAKE_ALARM",
]
INIT_V1 = (
    "mount -o remount,bind,rw /sys/fs/cgroup; for m in $(ls /sys/fs/cgroup); do "
    "mount -o remount,bind,rw /sys/fs/cgroup/$m; done; "
    "exec /sbin/init systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"
)
INIT_V2 = "mount -o remount,rw /sys/fs/cgroup 2>/dev/null; exec /sbin/init"


@dataclass(frozen=True)
class Net:
    """The addresses of a lab: its third octet keeps labs apart, the last one names the part."""

    octet: int

    @property
    def subnet(self) -> str:
        return f"172.30.{self.octet}.0/24"

    @property
    def subnet6(self) -> str:
        return f"fd4c:616e:6466:{self.octet:x}::/64"

    def ip(self, last: int) -> str:
        return f"172.30.{self.octet}.{last}"

    def ip6(self, last: int) -> str:
        return f"fd4c:616e:6466:{self.octet:x}::{last:x}"


OCTETS = {
    "demo": 99,
    "test": 98,
    "molecule": 97,
    "bench": 96,
    "move": 95,
    "backup": 94,
    "drill": 93,
    "harden": 92,
    "audit": 91,
    "bans": 90,
}
DNS, ACME, REGISTRY, S3, ACME_SHORT, APT_REPO, HOST = 2, 3, 4, 5, 6, 7, 10


class Lab:
    def __init__(self, name: str) -> None:
        if name not in OCTETS:
            raise LabError(f"no lab is called {name!r}; there are {', '.join(OCTETS)}")
        self.name = name
        self.net = Net(OCTETS[name])
        self.network = f"landfall-{name}"
        self.state = PROJECT / ".lab" / name
        self.key = self.state / "id_ed25519"
        self.known_hosts = self.state / "known_hosts"

    # -- names ---------------------------------------------------------------------------------------------------
    def container(self, part: str) -> str:
        return f"landfall-{self.name}-{part}"

    def running(self, part: str) -> bool:
        return docker("inspect", "-f", "{{.State.Running}}", self.container(part), check=False).strip() == "true"

    def exists(self, part: str) -> bool:
        return bool(docker("inspect", "-f", "{{.Id}}", self.container(part), check=False).strip())

    def _own(self) -> None:
        """Take away what another checkout left under this lab's name: its keys and mounts are not ours.

        Raises LabError for a demo whose checkout is still there: it may be in use.
        """
        listing = docker("ps", "-aq", "--filter", f"label=landfall.lab={self.name}").split()
        for container in listing:
            owner = docker("inspect", "-f", '{{index .Config.Labels "landfall.checkout"}}', container).strip()
            if owner == str(PROJECT):
                continue
            if self.name == "demo" and Path(owner, "tests", "lab").is_dir():
                raise LabError(f"the demo of another checkout is there ({owner}); run `make clean` in it first")
            docker("rm", "-f", "-v", container)

    # -- parts ---------------------------------------------------------------------------------------------------
    def _ensure_state(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        os.chmod(self.state, 0o700)
        if not self.key.exists():
            # What a lab of this name left elsewhere when it was killed must not be taken for this one's.
            if not self._containers():
                self._remove_volumes()
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"landfall-{self.name}", "-f", str(self.key)])

    def _s3_users(self) -> Path:
        path = self.state / "s3.json"
        path.write_text(json.dumps(S3_USERS))
        path.chmod(0o600)
        return path

    def _ensure_network(self) -> None:
        if docker("network", "inspect", "-f", "{{.Name}}", self.network, check=False).strip():
            return
        mtu = run(
            [
                "sh",
                "-c",
                "cat /sys/class/net/$(ip -o route get 192.0.2.1 2>/dev/null "
                "| sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')/mtu 2>/dev/null",
            ],
            check=False,
        ).strip()
        option = ["-o", f"com.docker.network.driver.mtu={mtu}"] if mtu.isdigit() and int(mtu) < 1500 else []
        docker(
            "network",
            "create",
            "--label",
            f"landfall.lab={self.name}",
            "--subnet",
            self.net.subnet,
            "--ipv6",
            "--subnet",
            self.net.subnet6,
            *option,
            self.network,
        )

    def start(self, part: str, last: int, image: str, *args: str, command: Iterable[str] = ()) -> bool:
        """Start one part at its fixed address; False when it runs already."""
        if self.running(part):
            return False
        if self.exists(part):
            docker("start", self.container(part))
            return True
        docker(
            "run",
            "-d",
            "--name",
            self.container(part),
            "--hostname",
            part,
            "--label",
            f"landfall.lab={self.name}",
            "--label",
            f"landfall.checkout={PROJECT}",
            "--network",
            self.network,
            "--ip",
            self.net.ip(last),
            "--ip6",
            self.net.ip6(last),
            "--restart",
            "unless-stopped",
            *args,
            image,
            *command,
        )
        return True

    def _ensure_ca(self) -> None:
        """A CA for the ACME directory's own HTTPS (not the one that signs the site's certificates)."""
        if (self.state / "acme" / "cert.pem").exists():
            return
        where = self.state / "acme"
        where.mkdir(exist_ok=True)
        # Fewer moving parts than a CA and a leaf: one self-signed certificate that is its own trust anchor.
        run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "3650",
                "-subj",
                "/CN=landfall lab acme directory",
                "-addext",
                f"subjectAltName=DNS:acme.landfall.test,DNS:acme-short.landfall.test,DNS:localhost,IP:{self.net.ip(ACME)},"
                f"IP:{self.net.ip(S3)},IP:127.0.0.1",
                "-keyout",
                str(where / "key.pem"),
                "-out",
                str(where / "cert.pem"),
            ]
        )
        os.chmod(where / "key.pem", 0o644)  # read by pebble inside its container; a throw-away key of a test CA

    def require_ports(self) -> None:
        """Raise LabError when another program has a port this lab publishes; asked before anything is built."""
        for part, names in (("registry", ["registry"]), ("host", ["http", "https"])):
            for what in names if not self.exists(part) else ():
                refuse_taken_port(self.port(what), f"LANDFALL_{self.name.upper()}_{what.upper()}_PORT")

    def services(self) -> None:
        """DNS, registry, ACME CA and S3."""
        images.ensure("landfall-lab/services:trixie")
        self._own()
        self._ensure_state()
        self._ensure_network()
        self._ensure_ca()
        image = "landfall-lab/services:trixie"
        records = [
            f"--host-record={name}.landfall.test,{self.net.ip(last)}"
            for name, last in {
                "dns": DNS,
                "acme": ACME,
                "acme-short": ACME_SHORT,
                "registry": REGISTRY,
                "s3": S3,
                "apt": APT_REPO,
            }.items()
        ]
        started = self.start(
            "dns",
            DNS,
            image,
            command=[
                "dnsmasq",
                "-k",
                "--user=root",
                "--no-hosts",
                "--log-facility=-",
                "--cache-size=0",
                f"--address=/localhost/{self.net.ip(HOST)}",
                f"--address=/elsewhere.test/{self.net.ip(200)}",
                f"--address=/site.test/{self.net.ip(HOST)}",
                *records,
            ],
        )
        started |= self.start(
            "registry",
            REGISTRY,
            image,
            "-v",
            f"{self.container('registry')}:/var/lib/registry",
            "-p",
            f"127.0.0.1:{self.port('registry')}:5000",
            command=["sh", "-c", REGISTRY_START],
        )
        started |= self._start_acme("acme", ACME, 90 * 86400)
        started |= self.start(
            "s3",
            S3,
            image,
            "-e",
            "WEED_S3_SSE_KEY=landfall-lab",
            "-v",
            f"{self.container('s3')}:/data",
            "-v",
            f"{self._s3_users()}:/etc/s3.json:ro",
            "-v",
            f"{self.state / 'acme'}:/acme:ro",
            command=["sh", "-c", S3_START],
        )
        if started:
            wait_for("the registry", lambda: _tcp("127.0.0.1", self.port("registry")))
            wait_for("the ACME CA", lambda: self.acme_root() is not None)

    def _start_acme(self, part: str, last: int, lifetime_s: int) -> bool:
        return self.start(
            part,
            last,
            "landfall-lab/services:trixie",
            "-e",
            "PEBBLE_VA_NOSLEEP=1",
            "-e",
            "PEBBLE_WFE_NONCEREJECT=0",
            "-e",
            f"CONFIG={json.dumps(pebble_config(lifetime_s))}",
            "-v",
            f"{self.state / 'acme'}:/acme:ro",
            command=[
                "sh",
                "-c",
                'printf "%s" "$CONFIG" > /tmp/pebble.json; '
                f"exec pebble -config /tmp/pebble.json -dnsserver {self.net.ip(DNS)}:53",
            ],
        )

    def short_lived_acme(self, lifetime_s: int = 120) -> None:
        """A second CA, acme-short.landfall.test, whose certificates live two minutes."""
        self._start_acme("acme-short", ACME_SHORT, lifetime_s)
        wait_for("the short-lived ACME CA", lambda: self.acme_root("acme-short") is not None)

    def port(self, what: str) -> int:
        """Ports on 127.0.0.1 of this machine: the demo's may be chosen, the test labs' stand apart from them."""
        labs = ("demo", "test", "molecule", "bench", "move", "drill", "harden", "audit", "bans")
        offset = 1000 * labs.index(self.name)
        default = {"http": 8080, "https": 8443, "registry": 5005}[what] + offset
        return int(os.environ.get(f"LANDFALL_{self.name.upper()}_{what.upper()}_PORT", default))

    def acme_root(self, part: str = "acme") -> str | None:
        """The root that signs the site's certificates (pebble makes a new one at each start)."""
        out = docker(
            "exec",
            self.container(part),
            "python3",
            "-c",
            "import ssl,urllib.request as u;print(u.urlopen('https://127.0.0.1:15000/roots/0',"
            "context=ssl._create_unverified_context()).read().decode())",
            check=False,
        )
        return out if "BEGIN CERTIFICATE" in out else None

    def host(
        self,
        name: str = "host",
        image: str = "landfall-lab/host:trixie",
        last: int = HOST,
        publish: bool = False,
        tmpfs: Iterable[str] = (),
        memory: str = "",
    ) -> str:
        """A systemd host reached over SSH as root. Gives back its address."""
        images.ensure(image)
        self._own()
        self._ensure_state()
        self._ensure_network()
        args = [f"--cap-add={cap}" for cap in CAPS]
        for option in ("seccomp=unconfined", "systempaths=unconfined", "apparmor=unconfined"):
            args += ["--security-opt", option]
        v1 = not Path("/sys/fs/cgroup/cgroup.controllers").exists()
        args += [
            "--cgroupns=private",
            "--tmpfs",
            "/run:exec",
            "--tmpfs",
            "/run/lock",
            "--tmpfs",
            "/tmp:exec",
            "-v",
            "/var/lib/docker",
            "--dns",
            self.net.ip(DNS),
        ]
        for mount in tmpfs:
            args += ["--tmpfs", mount]
        if memory:
            args += ["--memory", memory]
        if publish:
            for what, inside in (("http", 80), ("https", 443)):
                if not self.exists(name):
                    refuse_taken_port(self.port(what), f"LANDFALL_{self.name.upper()}_{what.upper()}_PORT")
                args += ["-p", f"127.0.0.1:{self.port(what)}:{inside}"]
        started = self.start(name, last, image, *args, command=["sh", "-c", INIT_V1 if v1 else INIT_V2])
        address = self.net.ip(last)
        if started:
            container = self.container(name)
            public = self.key.with_suffix(".pub").read_text()
            docker(
                "exec",
                "-i",
                container,
                "sh",
                "-c",
                "mkdir -p /root/.ssh && cat > /root/.ssh/authorized_keys",
                stdin=public,
            )
            acme = self.state / "acme" / "cert.pem"
            if acme.exists():  # as a company's image carries its own CA
                docker(
                    "exec", "-i", container, "sh", "-c", "cat > /usr/local/share/lab-acme.pem", stdin=acme.read_bytes()
                )
            wait_for(f"sshd on {name}", lambda: _tcp(address, 22), 60)
            self._trust(name, address)
        root = self.acme_root() if self.running("acme") else None
        if root:  # the test CA makes a new root at each of its starts
            docker("exec", "-i", self.container(name), "sh", "-c", "cat > /usr/local/share/lab-root.pem", stdin=root)
        return address

    def _trust(self, name: str, address: str) -> None:
        """Write the host's own keys, read through Docker and so not to be forged, into known_hosts."""
        wait_for(
            "host keys",
            lambda: docker(
                "exec", self.container(name), "sh", "-c", "cat /etc/ssh/ssh_host_ed25519_key.pub", check=False
            ),
        )
        keys = docker("exec", self.container(name), "sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub")
        old = self.known_hosts.read_text().splitlines() if self.known_hosts.exists() else []
        lines = [line for line in old if not line.startswith(f"{address} ")]
        lines += [f"{address} {' '.join(line.split()[:2])}" for line in keys.splitlines() if line.strip()]
        self.known_hosts.write_text("\n".join(lines) + "\n")

    def reboot(self, name: str = "host") -> None:
        """What a power cut does to the host, and its start after it."""
        docker("restart", "-t", "2", self.container(name), timeout=120)
        wait_for(f"sshd on {name}", lambda: _tcp(self.address(name), 22), 60)

    def started(self, name: str = "host") -> str:
        """When the host was started."""
        return docker("inspect", "-f", "{{.State.StartedAt}}", self.container(name)).strip()

    def booted(self, before: str, name: str = "host", timeout: float = 120) -> None:
        """Wait until a host that reboots itself is there again. :param before: when it was started the last time"""
        wait_for(f"the reboot of {name}", lambda: self.running(name) and self.started(name) != before, timeout, 0.5)
        wait_for(f"sshd on {name}", lambda: _tcp(self.address(name), 22), 60)

    def address(self, name: str = "host") -> str:
        found = docker(
            "inspect",
            "-f",
            f'{{{{(index .NetworkSettings.Networks "{self.network}").IPAddress}}}}',
            self.container(name),
        ).strip()
        return str(ipaddress.ip_address(found))

    def push(self, image: str, name: str) -> str:
        """Push a local image into the lab's registry under `name`; gives back the digest."""
        target = f"127.0.0.1:{self.port('registry')}/{name}"
        docker("tag", image, target)
        out = docker("push", "-q", target) or ""
        digest = docker("image", "inspect", "-f", "{{index .RepoDigests 0}}", target, check=False).strip()
        docker("rmi", target, check=False)
        return digest or out

    def remove_host(self, name: str) -> None:
        docker("rm", "-f", "-v", self.container(name), check=False)

    def _containers(self) -> list[str]:
        return docker("ps", "-aq", "--filter", f"label=landfall.lab={self.name}").split()

    def _remove_volumes(self) -> None:
        for volume in ("registry", "s3"):
            docker("volume", "rm", "-f", self.container(volume), check=False)

    def down(self) -> None:
        """Remove all that carries this lab's label, its volumes and its state directory; nothing else."""
        ids = self._containers()
        if ids:
            docker("rm", "-f", "-v", *ids)
        self._remove_volumes()
        docker("network", "rm", self.network, check=False)
        run(["rm", "-rf", str(self.state)])
        say(f"{self.name}: gone")


REGISTRY_START = (
    "printf '%s\\n' 'version: 0.1' "
    "'storage: {filesystem: {rootdirectory: /var/lib/registry}, delete: {enabled: true}}' "
    "'http: {addr: \":5000\"}' 'log: {level: warn}' > /tmp/registry.yml; exec docker-registry serve /tmp/registry.yml"
)
#: The one user of the lab's S3 server. Its configuration is a file: command lines are searched for secrets.
S3_USERS = {
    "identities": [
        {
            "name": "landfall",
            "credentials": [{"accessKey": "landfall", "secretKey": "landfall-lab-secret"}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
    ]
}
S3_START = (
    "exec weed -logdir=/tmp server -dir=/data -ip=127.0.0.1 -ip.bind=0.0.0.0 -master.volumeSizeLimitMB=64 "
    "-volume.max=200 -s3 -s3.port=8333 -s3.port.https=8334 -s3.cert.file=/acme/cert.pem -s3.key.file=/acme/key.pem "
    "-s3.port.iceberg=0 -s3.port.lance=0 -s3.config=/etc/s3.json"
)


def pebble_config(lifetime_s: int) -> dict[str, object]:
    """Pebble's configuration; its certificates live `lifetime_s` seconds."""
    return {
        "pebble": {
            "listenAddress": "0.0.0.0:14000",
            "managementListenAddress": "0.0.0.0:15000",
            "certificate": "/acme/cert.pem",
            "privateKey": "/acme/key.pem",
            "httpPort": 80,
            "tlsPort": 443,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
            "domainBlocklist": ["blocked.site.test"],
            "retryAfter": {"authz": 1, "order": 1},
            "certificateValidityPeriod": lifetime_s,
        }
    }


def _tcp(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 1):
            return True
    except OSError:
        return False


def refuse_taken_port(port: int, variable: str) -> None:
    """Raise LabError that names the program on `port`, when something listens there on loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return
        except OSError:
            pass
    raise LabError(
        f"port {port} on 127.0.0.1 is taken by {_listener(port)}\n  stop that program, or choose another port: "
        f"{variable}={port + 1} make demo"
    )


def _listener(port: int) -> str:
    """Who listens on a port: the container behind Docker's proxy, else the program and its pid."""
    container = docker("ps", "--filter", f"publish={port}", "--format", "{{.Names}}", check=False).split()
    if container:
        return f"the container {', '.join(container)}"
    argv = [*sudo(), "ss", "-Hltnp", f"sport = :{port}"]
    found = re.findall(r'"([^"]+)",pid=(\d+)', subprocess.run(argv, capture_output=True, text=True, check=False).stdout)
    return ", ".join(f"{name} (pid {pid})" for name, pid in dict.fromkeys(found)) or "a program that ss can't name"
