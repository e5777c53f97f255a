# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nginx itself and gixy say of the rendered configuration. Needs Docker and an image with nginx 1.27.3."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.compose.routes import Limit, Route, StackRoutes
from ansible_collections.landfall.stack.plugins.module_utils.edge.render import render, sealed
from ansible_collections.landfall.stack.plugins.module_utils.edge.settings import EdgeSettings

IMAGES = (os.environ.get("LANDFALL_NGINX_IMAGE", ""), "landfall-lab/nginx-unprivileged:1.30")
HOST = "shop.example.com"


def routes() -> StackRoutes:
    def one(path, **more):
        given = {"service": "web-ui", "upstreams": ("shop-web-ui-1", "shop-web-ui-2"), **more}
        return Route(HOST, path, port=8000, **given)

    return StackRoutes(
        "shop",
        (HOST, "www.example.com"),
        "landfall-edge-shop",
        (
            one("/", limit=Limit("10r/s", 20)),
            one("/api/", strip=True, body_size="1g"),
            one("/plain", strip=True),
            one("/v/", rewrite="/v2/", drain="10m"),
            one("/ws", protocol="websocket"),
            one("/events/", protocol="sse", timeout="1m30s"),
            one("/gone/", service="gone", upstreams=()),
        ),
        headers={"Content-Security-Policy": "default-src 'self'", "NEL": '{"a": "b\\c"}', "X-Frame-Options": ""},
    )


@pytest.fixture(scope="module")
def image():
    for name in IMAGES:
        if (
            name
            and subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False).returncode == 0
        ):
            return name
    pytest.skip("no image with nginx is at hand; set LANDFALL_NGINX_IMAGE")


SCRIPT = """cd /etc/landfall/edge && mkdir -p certs/placeholder run
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x \\
  -keyout certs/placeholder/privkey.pem -out certs/placeholder/fullchain.pem 2>/dev/null
exec nginx -t -e /dev/stderr -c /etc/landfall/edge/current/nginx.conf"""


def ask_nginx(image, files):
    """`nginx -t` in a container; files go in as a tar stream, so that a remote Docker will do, too."""
    argv = ["docker", "create", "--network", "none", "--user", "root", "--entrypoint", "/bin/sh", image, "-c", SCRIPT]
    made = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    try:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for path, text in sealed(files)[1].items():
                info = tarfile.TarInfo(f"landfall/edge/current/{path}")
                info.size = len(text.encode())
                tar.addfile(info, io.BytesIO(text.encode()))
        subprocess.run(["docker", "cp", "-", f"{made}:/etc"], input=stream.getvalue(), check=True)
        run = subprocess.run(["docker", "start", "--attach", made], capture_output=True, text=True, check=False)
    finally:
        subprocess.run(["docker", "rm", "--force", made], capture_output=True, check=False)
    return run.returncode, run.stdout + run.stderr


@pytest.mark.parametrize(
    "settings",
    [
        EdgeSettings(),
        EdgeSettings(http3=True, https_port=8443, trusted_proxies=("203.0.113.0/24",), hsts_preload=True, gzip=False),
        EdgeSettings(journal=True),
        EdgeSettings(maintenance_message='It\'s "down" for $5 \\ <b>now</b>'),
    ],
    ids=["defaults", "everything", "journal", "odd text"],
)
def test_nginx_accepts_it(image, settings):
    rc, said = ask_nginx(image, render([routes()], settings=settings))
    assert rc == 0, said
    assert "[warn]" not in said


def test_nginx_refuses_what_is_broken(image):
    files = render([routes()])
    files["sites/shop.conf"] += "nonsense;\n"
    rc, said = ask_nginx(image, files)
    assert rc != 0 and "nonsense" in said


def test_gixy_finds_nothing(tmp_path: Path):
    gixy = shutil.which("gixy")
    if gixy is None:
        pytest.skip("gixy-ng is not installed")
    for path, text in sealed(render([routes()]))[1].items():
        target = tmp_path / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(text.replace("include /etc/nginx/mime.types;", ""), encoding="utf-8")
    run = subprocess.run([gixy, str(tmp_path / "nginx.conf")], capture_output=True, text=True, check=False)
    assert "No issues found" in run.stdout, run.stdout
