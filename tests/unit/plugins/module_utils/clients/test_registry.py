# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image names, and the client against a small registry with every kind of answer."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.clients import registry
from ansible_collections.landfall.stack.plugins.module_utils.clients.registry import Credentials, ImageName, Registry

HUB = registry.HUB
DIGEST = "sha256:" + "a" * 64
LOGIN = Credentials("ann", "open-sesame")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("nginx", (HUB, "library/nginx", "latest")),
        ("docker.io/nginx:1.30", (HUB, "library/nginx", "1.30")),
        ("grafana/loki", (HUB, "grafana/loki", "latest")),
        ("ghcr.io/a/b/c:v1", ("ghcr.io", "a/b/c", "v1")),
        ("localhost/x", ("localhost", "x", "latest")),
        ("reg:5000/x:1", ("reg:5000", "x", "1")),
        (f"nginx:1.30@{DIGEST}", (HUB, "library/nginx", DIGEST)),
    ],
)
def test_names(text: str, parts: tuple[str, str, str]) -> None:
    name = ImageName.parse(text)
    assert (name.registry, name.path, name.reference) == parts


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("nginx:", "tag is empty"),
        ("Nginx", "lower case"),
        ("/jarvis:1", "not a repository name"),
        ("nginx@latest", "not a digest"),
        ("a b", "not a repository name"),
        ("nginx:a/b:c", "registry"),
    ],
)
def test_bad_names(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ImageName.parse(text)
    assert Registry().resolve(text).reason == registry.INVALID


class Answers(BaseHTTPRequestHandler):
    """open/* is there for all, basic/* and token/* for ann, moved/* leads elsewhere, busy/* is limited."""

    seen: list[tuple[str, str]] = []

    def log_message(self, *args: object) -> None:
        """Stay silent."""

    def answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization", "")))
        kind = self.path.split("/")[2]
        login = self.headers.get("Authorization", "")
        here = f"http://{self.headers['Host']}"
        if self.path.endswith(("/missing", "/nginx/manifests/none")):
            self.answer(404)
        elif kind == "basic" and login != LOGIN.header():
            self.answer(401, WWW_Authenticate='Basic realm="r"')
        elif kind in ("token", "library") and login != "Bearer t0k":
            scope = f"repository:{kind}/x:pull"
            self.answer(401, WWW_Authenticate=f'Bearer realm="{here}/auth",service="reg",scope="{scope}"')
        elif kind == "busy":
            self.answer(429)
        elif kind == "moved":
            self.answer(307, Location=f"{here}/v2/open/x/manifests/1")
        else:
            self.answer(200, Docker_Content_Digest=DIGEST)

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization", "")))
        if "token%2F" in self.path and self.headers.get("Authorization") != LOGIN.header():
            self.answer(401)
            return
        body = json.dumps({"token": "t0k"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(name="server")
def _server() -> Iterator[str]:
    Answers.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "login", "reason"),
    [
        ("open/x:1", False, registry.OK),
        ("open/x:missing", False, registry.NOT_FOUND),
        ("basic/x:1", False, registry.UNAUTHORIZED),
        ("basic/x:1", True, registry.OK),
        ("token/x:1", False, registry.UNAUTHORIZED),
        ("token/x:1", True, registry.OK),
        ("busy/x:1", False, registry.LIMITED),
    ],
)
def test_answers(server: str, path: str, login: bool, reason: str) -> None:
    answer = Registry(credentials={server: LOGIN} if login else None).resolve(f"{server}/{path}")
    assert answer.reason == reason
    assert answer.digest == (DIGEST if reason == registry.OK else "")
    assert "open-sesame" not in repr(answer) + repr(LOGIN)


def test_a_redirect_gets_no_login(server: str) -> None:
    assert Registry(credentials={server: LOGIN}).resolve(f"{server}/moved/x:1").reason == registry.OK
    assert Answers.seen[-1] == ("/v2/open/x/manifests/1", "")


def test_mirror_answers_for_the_hub_with_an_anonymous_token(server: str) -> None:
    answer = Registry(mirrors=[f"http://{server}/"]).resolve("nginx:1.30")
    assert (answer.reason, answer.registry) == (registry.OK, server)
    assert Answers.seen[0][0] == "/v2/library/nginx/manifests/1.30"


def test_the_most_telling_of_several_answers_counts(server: str) -> None:
    answer = Registry(mirrors=[f"http://{server}", "http://127.0.0.1:9"], timeout=1)
    answer._endpoints = lambda _registry: [f"http://{server}", "http://127.0.0.1:9"]  # type: ignore[method-assign]
    said = answer.resolve("nginx:none")
    assert said.reason == registry.NOT_FOUND
    assert "127.0.0.1:9: Connection refused" in said.detail


def test_nobody_there() -> None:
    answer = Registry(timeout=1).resolve("127.0.0.1:9/x")
    assert (answer.reason, answer.detail) == (registry.UNREACHABLE, "Connection refused")


def test_plain_http_only_where_it_is_allowed() -> None:
    client = Registry(insecure=["reg:5000", "10.1.0.0/16"])
    told = {host: client._is_insecure(host) for host in ("reg:5000", "10.1.2.3:5000", "localhost:1", "10.2.0.1", "reg")}
    assert told == {"reg:5000": True, "10.1.2.3:5000": True, "localhost:1": True, "10.2.0.1": False, "reg": False}


def test_docker_auths() -> None:
    auth = base64.b64encode(b"ann:pw:x").decode()
    config = json.dumps({"auths": {"https://index.docker.io/v1/": {"auth": auth}, "ghcr.io": {}}, "credsStore": "x"})
    assert registry.docker_auths(config) == {HUB: Credentials("ann", "pw:x")}
    assert registry.docker_auths("nonsense") == {}
