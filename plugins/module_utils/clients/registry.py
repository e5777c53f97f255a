# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker registries (Registry HTTP API v2): does an image name resolve, and to which digest."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

HUB = "registry-1.docker.io"
HUB_NAMES = frozenset(("docker.io", "index.docker.io", HUB))
OK = ""
INVALID = "invalid"
NOT_FOUND = "not-found"
UNAUTHORIZED = "unauthorized"
LIMITED = "limited"
TLS = "tls"
UNREACHABLE = "unreachable"
# Of the answers of several endpoints the most telling one counts.
_TELLING = (UNAUTHORIZED, NOT_FOUND, LIMITED, TLS, UNREACHABLE)

_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[a-z0-9+._-]+:[0-9a-fA-F]{32,}")
_HOST = re.compile(r"[A-Za-z0-9.-]+(?::\d+)?|\[[0-9a-fA-F:]+\](?::\d+)?")


@dataclass(frozen=True)
class ImageName:
    """An image reference, in full: ``nginx`` is registry registry-1.docker.io, path library/nginx, tag latest."""

    registry: str
    path: str
    reference: str

    @classmethod
    def parse(cls, text: str) -> ImageName:
        """Return the parts of an image reference as Docker reads it; raises ValueError with the reason."""
        rest, _at, digest = text.strip().partition("@")
        if not rest:
            raise ValueError("it is empty")
        if digest and not _DIGEST.fullmatch(digest):
            raise ValueError("what follows @ is not a digest")
        first, slash, other = rest.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost"):
            registry, rest = first, other
        else:
            registry = HUB
        if not _HOST.fullmatch(registry):
            raise ValueError(f"{registry!r} is not a registry's host name")
        path, colon, tag = rest.partition(":")
        if colon and not _TAG.fullmatch(tag):
            raise ValueError("its tag is empty" if not tag else f"{tag!r} is not a tag")
        if not _PATH.fullmatch(path):
            capital = " (it must be lower case)" if path != path.lower() else ""
            raise ValueError(f"{path!r} is not a repository name{capital}")
        if registry in HUB_NAMES:
            registry = HUB
            path = path if "/" in path else f"library/{path}"
        return cls(registry, path, digest or tag or "latest")


@dataclass(frozen=True)
class Resolution:
    """What the registry said. reason is empty when the name resolves (digest is set), else a constant of this file."""

    registry: str
    digest: str = ""
    reason: str = OK
    detail: str = ""


@dataclass(frozen=True)
class Credentials:
    """User and password for one registry; never shown in a repr."""

    username: str
    password: str = field(repr=False)

    def header(self) -> str:
        """Return the value of a Basic Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def docker_auths(config: str) -> dict[str, Credentials]:
    """Return the logins of a docker config.json by registry; logins kept by a helper are not to be had."""
    try:
        auths = json.loads(config).get("auths") or {}
    except (ValueError, AttributeError):
        return {}
    found = {}
    for key, entry in auths.items():
        try:
            user, _colon, password = base64.b64decode(entry.get("auth") or "").decode().partition(":")
        except (ValueError, AttributeError):
            continue
        if user:
            found[_registry_key(str(key))] = Credentials(user, password)
    return found


def _registry_key(text: str) -> str:
    host = re.sub(r"^https?://", "", text).split("/", 1)[0]
    return HUB if host in HUB_NAMES else host


class Registry:
    """Asks registries for manifests.

    mirrors: base URLs that are asked first for images of Docker Hub, as in daemon.json; insecure: hosts, host:port or
    networks that may speak plain HTTP or show an unknown certificate; credentials: by registry; timeout: seconds a
    request may take; context: TLS settings.
    """

    def __init__(
        self,
        mirrors: Sequence[str] = (),
        insecure: Sequence[str] = (),
        credentials: Mapping[str, Credentials] | None = None,
        timeout: float = 5.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._mirrors = tuple(mirrors)
        self._insecure = tuple(insecure)
        self._credentials = {_registry_key(key): value for key, value in (credentials or {}).items()}
        self._timeout = timeout
        self._context = context

    def resolve(self, image: str) -> Resolution:
        """Return what image resolves to; never raises for an answer or the lack of one."""
        try:
            name = ImageName.parse(image)
        except ValueError as problem:
            return Resolution("", reason=INVALID, detail=str(problem))
        answers: list[Resolution] = []
        for base in self._endpoints(name.registry):
            answer = self._ask(base, name)
            if answer.reason == OK:
                return answer
            answers.append(answer)
        first = min(answers, key=lambda answer: _TELLING.index(answer.reason))
        # Only mirrors are several: say what each of them said.
        detail = first.detail if len(answers) == 1 else "; ".join(f"{a.registry}: {a.detail}" for a in answers)
        return Resolution(first.registry, reason=first.reason, detail=detail)

    def _endpoints(self, registry: str) -> list[str]:
        found = [mirror.rstrip("/") for mirror in self._mirrors] if registry == HUB else []
        return [*found, f"https://{registry}"]

    def _is_insecure(self, host: str) -> bool:
        """Whether host is listed as insecure; Docker trusts loopback addresses by itself."""
        bare = urllib.parse.urlsplit(f"//{host}").hostname or host
        if host in self._insecure or bare in self._insecure or bare == "localhost":
            return True
        try:
            address = ipaddress.ip_address(bare)
        except ValueError:
            return False
        if address.is_loopback:
            return True
        for text in self._insecure:
            try:
                if address in ipaddress.ip_network(text, strict=False):
                    return True
            except ValueError:
                continue
        return False

    def _ask(self, base: str, name: ImageName) -> Resolution:
        host = urllib.parse.urlsplit(base).netloc
        # A mirror written with http:// is meant so.
        insecure = self._is_insecure(host) or base.startswith("http://")
        answer = self._manifest(base, name, insecure)
        if answer.reason in (TLS, UNREACHABLE) and insecure and base.startswith("https://"):
            plain = self._manifest("http://" + base[len("https://") :], name, insecure)
            if plain.reason != UNREACHABLE:
                return plain
        return answer

    def _manifest(self, base: str, name: ImageName, insecure: bool) -> Resolution:
        host = urllib.parse.urlsplit(base).netloc
        url = f"{base}/v2/{name.path}/manifests/{name.reference}"
        headers: dict[str, str] = {}
        try:
            status, answer = self._request(url, headers, insecure)
            if status == 401:
                login = self._login(answer.get("www-authenticate", ""), host, insecure)
                if login:
                    status, answer = self._request(url, {"Authorization": login}, insecure)
        except ssl.SSLError as problem:
            return Resolution(host, reason=TLS, detail=_reason(problem))
        except urllib.error.URLError as problem:
            kind = TLS if isinstance(problem.reason, ssl.SSLError) else UNREACHABLE
            return Resolution(host, reason=kind, detail=_reason(problem.reason))
        except (OSError, ValueError) as problem:
            return Resolution(host, reason=UNREACHABLE, detail=_reason(problem))
        if status == 200:
            return Resolution(host, digest=answer.get("docker-content-digest", ""))
        reason = {401: UNAUTHORIZED, 403: UNAUTHORIZED, 404: NOT_FOUND, 429: LIMITED}.get(status, UNREACHABLE)
        return Resolution(host, reason=reason, detail=f"HTTP {status}")

    def _login(self, challenge: str, host: str, insecure: bool) -> str:
        """Return the Authorization header a challenge asks for, empty when there is nothing to answer."""
        known = self._credentials.get(_registry_key(host))
        scheme, _space, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            return known.header() if known else ""
        if scheme.lower() != "bearer":
            return ""
        fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = fields.pop("realm", "")
        if not realm.startswith("https://") and not (insecure and realm.startswith("http://")):
            return ""
        query = urllib.parse.urlencode({key: fields[key] for key in ("service", "scope") if key in fields})
        headers = {"Authorization": known.header()} if known else {}
        status, answer = self._request(f"{realm}?{query}" if query else realm, headers, insecure, method="GET")
        if status != 200:
            return ""
        token = answer.get("token") or answer.get("access_token")
        return f"Bearer {token}" if token else ""

    def _request(
        self, url: str, headers: Mapping[str, str], insecure: bool, method: str = "HEAD"
    ) -> tuple[int, dict[str, Any]]:
        """Return the status and the headers (names in lower case); of a GET with status 200 the JSON body instead."""
        request = urllib.request.Request(url, method=method, headers={"Accept": _ACCEPT, "User-Agent": "landfall"})
        for key, value in headers.items():
            # A redirect leads to storage elsewhere: it gets no login.
            request.add_unredirected_header(key, value)
        context = ssl._create_unverified_context() if insecure else self._context
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
        try:
            with opener.open(request, timeout=self._timeout) as response:
                if method == "GET":
                    body = json.loads(response.read(1 << 20))
                    return response.status, body if isinstance(body, dict) else {}
                return response.status, {key.lower(): value for key, value in response.headers.items()}
        except urllib.error.HTTPError as problem:
            with problem:
                return problem.code, {key.lower(): value for key, value in problem.headers.items()}


def _reason(problem: object) -> str:
    if isinstance(problem, (TimeoutError, socket.timeout)):
        return "no answer in time"
    if isinstance(problem, ssl.SSLCertVerificationError):
        return problem.verify_message
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    return str(problem) or type(problem).__name__
