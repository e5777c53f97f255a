"""An apt repository like Docker's own, over HTTPS: what a host with `docker_source: docker` installs from.

It has the layout of Docker's; both releases of Debian share one pool. The packages carry Debian's binaries under
Docker's names and exclude the distribution's packages. They are signed, as Docker's are, by the subkey of a throw-away
key, whose secret half does not outlive the build. All of it is one image, built again only when its recipe changes. The
engine is there in two versions, so that a pin can be tried; only the version number differs. Debian 12 gets the same
packages: they need no newer libc than it has, but for runc, which is therefore Debian 12's.
"""

from __future__ import annotations

from . import images
from .images import APT, Image
from .lab import APT_REPO, Lab
from .shell import docker, run, wait_for

NAME = "apt.landfall.test"
TAG = "landfall-lab/apt-repo:trixie"
BASE = "landfall-lab/services:trixie"

DOCKERFILE = """
FROM {base} AS build
RUN for file in $(find /etc/apt -name '*.list' -o -name '*.sources'); do \\
      sed s/trixie/bookworm/g "$file" > "/etc/apt/sources.list.d/bookworm-${{file##*/}}"; done \\
 && apt-get update -q && {apt} install -y --no-install-recommends apt-utils gpg gpg-agent
WORKDIR /build
RUN apt-get download -q docker.io/trixie docker-cli/trixie containerd/trixie docker-compose/trixie \\
      docker-buildx/trixie runc/bookworm
COPY build.sh /build/
RUN sh build.sh /srv/linux/debian trixie bookworm
LABEL landfall.stage=apt-repo

FROM {base}
COPY --from=build /srv /srv
"""

BUILD = r"""#!/bin/sh
# build.sh ROOT CODENAME...: from the packages of the distribution that lie here, a repository like Docker's in ROOT.
set -eu
root=$1; shift
pool=$root/dists/$1/pool/stable/$(dpkg --print-architecture)
mkdir -p "$pool"

# repack NAME VERSION FIELDS PACKAGE...: the files and the maintainer scripts of PACKAGE... as one package NAME.
repack() {
    name=$1 version=$2 fields=$3; shift 3
    rm -rf tree; mkdir tree
    for package; do
        dpkg-deb -x "$package"_*.deb tree
        dpkg-deb -e "$package"_*.deb tree/DEBIAN
    done
    rm -f tree/DEBIAN/md5sums
    {
        printf '%s\n' "Package: $name" "Version: $version" "Architecture: $(dpkg --print-architecture)"
        printf '%s\n' "Maintainer: Landfall tests <tests@landfall.test>" "Section: admin" "Priority: optional"
        printf '%s\n' "$fields" "Description: Debian's $* under the name that Docker's repository uses, for tests"
    } > tree/DEBIAN/control
    dpkg-deb -Zgzip -z1 --root-owner-group -b tree "$pool/${name}_${version#*:}_$(dpkg --print-architecture).deb"
}

upstream() { dpkg-deb -f "$1"_*.deb Version | sed 's/^[0-9]*://; s/[^0-9.].*//'; }
engine=$(upstream docker.io)
older=${engine%.*}.$((${engine##*.} - 1))

for number in "$engine" "$older"; do
    repack docker-ce "5:$number-1~landfall" "Pre-Depends: init-system-helpers
Depends: containerd.io (>= 1.7.0), docker-ce-cli, adduser, iptables, tini, libc6, libsystemd0
Conflicts: docker.io
Replaces: docker.io" docker.io
    repack docker-ce-cli "5:$number-1~landfall" "Depends: libc6
Recommends: docker-buildx-plugin, docker-compose-plugin
Conflicts: docker.io, docker-cli
Replaces: docker.io, docker-cli" docker-cli
done
repack containerd.io "$(upstream containerd)-1~landfall" "Provides: containerd, runc
Depends: libc6, libseccomp2
Conflicts: containerd, runc
Replaces: containerd, runc" containerd runc
repack docker-compose-plugin "$(upstream docker-compose)-1~landfall" "Depends: libc6
Conflicts: docker-compose
Replaces: docker-compose" docker-compose
repack docker-buildx-plugin "$(upstream docker-buildx)-1~landfall" "Depends: libc6
Conflicts: docker-buildx
Replaces: docker-buildx" docker-buildx

GNUPGHOME=$(mktemp -d); export GNUPGHOME
gpg -q --batch --passphrase '' --quick-generate-key 'Landfall tests (a throw-away key)' rsa3072 cert never
primary=$(gpg --batch --with-colons --list-keys | sed -n '/^fpr:/ { s/[^0-9A-F]//gp; q }')
gpg -q --batch --passphrase '' --quick-add-key "$primary" rsa3072 sign never
gpg -q --armor --export "$primary" > "$root/gpg"
echo "$primary" > /srv/fingerprint
echo "$older" > /srv/older

cd "$root"
apt-ftparchive packages "dists/$1/pool" > /tmp/Packages
for codename; do
    dist=dists/$codename
    index=stable/binary-$(dpkg --print-architecture)/Packages
    mkdir -p "$dist/${index%/*}"
    cp /tmp/Packages "$dist/$index"
    gzip -kn "$dist/$index"
    apt-ftparchive -o "APT::FTPArchive::Release::Suite=$codename" -o "APT::FTPArchive::Release::Codename=$codename" \
        -o "APT::FTPArchive::Release::Components=stable" -o "APT::FTPArchive::Release::Origin=Docker" \
        -o "APT::FTPArchive::Release::Architectures=$(dpkg --print-architecture)" release "$dist" > /tmp/Release
    gpg -q --batch --digest-algo SHA512 --clearsign -o "$dist/InRelease" /tmp/Release
done
rm -rf "$GNUPGHOME"
"""

SERVE = """
import functools, http.server, ssl
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
server = http.server.ThreadingHTTPServer(("", 443), functools.partial(Handler, directory="/srv"))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/cert.pem", "/tls/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"""


def ensure() -> None:
    """Build the image, unless it is there as its recipe says."""
    images.ensure(BASE)
    dockerfile = DOCKERFILE.format(base=BASE, apt=APT).lstrip()
    images.ensure_one(Image(TAG, dockerfile, BASE, {"build.sh": BUILD.encode()}))
    # Docker's older builder leaves the first stage lying about.
    docker("image", "prune", "-f", "--filter", "label=landfall.stage=apt-repo")


def serve(lab: Lab) -> str:
    """Serve it as https://apt.landfall.test/linux. Gives back the fingerprint of its key.

    The state directory `apt` holds the CA to trust (ca.pem), the fingerprint, and the older of the engine's versions.
    """
    ensure()
    where = lab.state / "apt"
    if not (where / "cert.pem").exists():
        where.mkdir(parents=True, exist_ok=True)
        _certificate(lab)
    if _image(lab.container("apt")) != docker("image", "inspect", "-f", "{{.Id}}", TAG).strip():
        lab.remove_host("apt")  # it serves what an older recipe made, if it is there
    started = lab.start("apt", APT_REPO, TAG, "-v", f"{where}:/tls:ro", command=["python3", "-c", SERVE])
    if started:
        probe = ["exec", lab.container("apt"), "python3", "-c", PROBE]
        wait_for("the apt repository", lambda: docker(*probe, check=False).strip() == "200")
    for name in ("fingerprint", "older"):
        (where / name).write_text(docker("exec", lab.container("apt"), "cat", f"/srv/{name}"))
    return (where / "fingerprint").read_text().strip()


def _image(container: str) -> str:
    return docker("inspect", "-f", "{{.Image}}", container, check=False).strip()


PROBE = (
    "import ssl,urllib.request as u;"
    f"print(u.urlopen(u.Request('https://127.0.0.1/linux/debian/gpg',headers={{'Host':'{NAME}'}}),"
    "context=ssl._create_unverified_context()).status)"
)


def _certificate(lab: Lab) -> None:
    """A CA and the server's certificate, as strict as Python 3.13 wants them. The CA's key is not kept."""
    where = lab.state / "apt"
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650"]
    authority = ["-subj", "/CN=Landfall lab, apt repository"]
    for extension in ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"):
        authority += ["-addext", extension]
    leaf = ["-subj", f"/CN={NAME}", "-CA", str(where / "ca.pem"), "-CAkey", str(where / "ca.key")]
    for extension in (
        f"subjectAltName=DNS:{NAME}",
        "basicConstraints=critical,CA:FALSE",
        "extendedKeyUsage=serverAuth",
    ):
        leaf += ["-addext", extension]
    run([*new, *authority, "-keyout", str(where / "ca.key"), "-out", str(where / "ca.pem")])
    run([*new, *leaf, "-keyout", str(where / "key.pem"), "-out", str(where / "cert.pem")])
    (where / "ca.key").unlink()
