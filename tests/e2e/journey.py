# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's journey through the Jarvis page in headless Chromium: register, log in, see the agents, chat with each.

From tests/, ``python -m e2e.journey BASE_URL [--resolve HOST=ADDRESS[:PORT]] [--insecure] [--screenshot FILE]`` prints
the result.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import socket
import ssl
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, WebSocket, expect

from lab.browser import chromium

PASSWORD = "correct horse battery"
# agent id: question, what the answer must say, rows of its table
QUESTIONS = {
    "tickets": ("Which tickets are at SLA risk?", r"1 ticket over its SLA, 2 within two hours of it", 3),
    "finops": ("Break down this month's cost", r"Oct cost \$9,305", 5),
    "oxygen": ("Plan my weeks", r"all 3 started courses are finished in 6 weeks", 3),
}


def address(host: str, port: int, rules: str | None) -> tuple[str, int]:
    """Where the browser will connect for ``host:port`` under Chromium's resolver rules (MAP only, no wildcards)."""
    for rule in (rules or "").split(","):
        words = rule.split()
        if len(words) == 3 and words[0].upper() == "MAP" and words[1] in (host, f"{host}:{port}"):
            name, _, mapped = words[2].partition(":")
            return name, int(mapped or port)
    return ("127.0.0.1" if host == "localhost" or host.endswith(".localhost") else host), port


def trusted_key(base_url: str, ca_file: str | Path, rules: str | None = None) -> str:
    """The base64 SHA-256 of the server's public key, after checking its certificate against ``ca_file``.

    :raises AssertionError: the certificate does not stand the check.
    """
    url = urlsplit(base_url)
    host, port = url.hostname or "", url.port or 443
    context = ssl.create_default_context(cafile=str(ca_file))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # Python 3.13 asks test CAs for extensions that browsers do not
    where = address(host, port, rules)
    try:
        with socket.create_connection(where, 10) as raw, context.wrap_socket(raw, server_hostname=host) as tls:
            certificate = tls.getpeercert(binary_form=True) or b""
    except OSError as error:  # ssl.SSLError is one too
        raise AssertionError(f"TLS to {base_url} ({where[0]}:{where[1]}) with the CA in {ca_file}: {error}") from error
    pem = ssl.DER_cert_to_PEM_cert(certificate).encode()
    public = subprocess.run(["openssl", "x509", "-pubkey", "-noout"], input=pem, capture_output=True, check=True)
    der = base64.b64decode(b"".join(public.stdout.splitlines()[1:-1]))
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def run(
    base_url: str,
    host_resolver_rules: str | None = None,
    ca_file: str | Path | None = None,
    ignore_https_errors: bool = False,
    screenshot_path: str | Path | None = None,
    api: bool = False,
    username: str | None = None,
    timeout_s: float = 20,
) -> dict[str, Any]:
    """Walk the journey at ``base_url`` and return what was seen.

    :param host_resolver_rules: Chromium's rules, for example ``MAP jarvis.localhost:443 172.17.0.3:443``.
    :param ca_file: PEM of the test CA: the server's certificate is checked against it (chain, name, dates) before
        the browser starts, and the browser then accepts that certificate's key and no other untrusted one.
    :param ignore_https_errors: accept any certificate; for hosts with a placeholder only.
    :param screenshot_path: PNG of the page after the last answer.
    :param api: also fetch /auth/, /api/ and /agents/ from inside the page; needs the edge in front.
    :param username: log in as this user of an earlier journey instead of registering a new one; the
        conversations of that journey must then be there.
    :param timeout_s: patience for each step, in seconds.
    :returns: ``username``, ``version``, ``agents`` (id to status), ``answers`` (id to text), ``answer_ms``,
        ``restored`` (turns found from before), ``websocket`` (its URL), ``apis`` (path to HTTP status), ``seconds``.
    :raises AssertionError: saying which step failed, with what the page showed.
    """
    arguments = []
    if host_resolver_rules:
        arguments.append(f"--host-resolver-rules={host_resolver_rules}")
    if ca_file:
        arguments.append(f"--ignore-certificate-errors-spki-list={trusted_key(base_url, ca_file, host_resolver_rules)}")
    with chromium(*arguments) as browser:
        return _Journey(browser, base_url, ignore_https_errors, timeout_s).walk(username, api, screenshot_path)


class _Journey:
    """One browser context; keeps the step it is in, for the message of a failure."""

    def __init__(self, browser: Browser, base_url: str, ignore_https_errors: bool, timeout_s: float) -> None:
        context = browser.new_context(
            ignore_https_errors=ignore_https_errors, viewport={"width": 1280, "height": 820}, color_scheme="light"
        )
        context.set_default_timeout(timeout_s * 1000)
        self.page: Page = context.new_page()
        self.base_url, self.patience_ms, self.step = base_url, timeout_s * 1000, "start"
        self.complaints: list[str] = []
        self.sockets: list[str] = []
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script error: {error}"))
        self.page.on("websocket", self._on_socket)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"console: {message.text}")

    def _on_socket(self, socket: WebSocket) -> None:
        self.sockets.append(socket.url)

    def walk(self, username: str | None, api: bool, screenshot_path: str | Path | None) -> dict[str, Any]:
        begin = time.monotonic()
        try:
            result = self._walk(username, api)
            if screenshot_path:
                self.step = "screenshot"
                Path(screenshot_path).parent.mkdir(parents=True, exist_ok=True)
                self.page.screenshot(path=str(screenshot_path))
        except (AssertionError, Error) as error:
            raise AssertionError(self._explain(error)) from error
        return {**result, "seconds": round(time.monotonic() - begin, 2)}

    def _explain(self, error: Exception) -> str:
        try:
            shown = " | ".join(self.page.inner_text("body", timeout=2000).split("\n"))[:800]
        except Error:
            shown = "(no page)"
        return (
            f"Journey at {self.base_url} failed at step '{self.step}': {str(error)[:800]}\n"
            f"  page {self.page.url} shows: {shown}\n"
            f"  browser complained: {self.complaints[:5] or 'of nothing'}; WebSockets: {self.sockets or 'none'}"
        )

    def _walk(self, username: str | None, api: bool) -> dict[str, Any]:
        page, again = self.page, username is not None
        wait: dict[str, Any] = {"timeout": self.patience_ms}
        self.step = "open the page"
        response = page.goto(self.base_url)
        assert response is not None and response.ok, f"status {response.status if response else 'none'}"

        if not again:
            username = f"e2e-{uuid.uuid4().hex[:10]}"
            self.step = f"register {username}"
            page.get_by_role("button", name="Create an account").click()
            self._credentials(username, "Create account")
            expect(page.locator("#who")).to_have_text(username, **wait)
            self.step = "log out"
            page.get_by_role("button", name="Log out").click()
        assert username is not None
        self.step = f"log in as {username}"
        expect(page.locator("#form-title")).to_have_text("Welcome back", **wait)
        self._credentials(username, "Log in")
        expect(page.locator("#who")).to_have_text(username, **wait)

        self.step = "see three agents online"
        for agent in QUESTIONS:
            expect(page.locator(f".agent[data-agent={agent}]")).to_have_attribute("data-status", "online", **wait)
        self.step = "WebSocket connected"
        expect(page.locator("#link-text")).to_have_text("Connected", **wait)

        answers, timings, restored = {}, {}, 0
        for agent, (question, expected, rows) in QUESTIONS.items():
            self.step = f"chat with {agent}"
            page.locator(f".agent[data-agent={agent}]").click()
            found = page.locator(f"[data-answer={agent}]")
            if again:
                self.step = f"find the earlier conversation with {agent}"
                expect(found.first).to_contain_text(re.compile(expected), **wait)
                restored += found.count()
                self.step = f"chat with {agent}"
            else:
                expect(page.locator("#log .empty")).to_be_visible(**wait)
            before = found.count()
            page.locator("#text").fill(question)
            page.locator("#text").press("Enter")
            expect(found).to_have_count(before + 1, **wait)
            expect(found.last).to_contain_text(re.compile(expected), **wait)
            expect(found.last.locator("tbody tr")).to_have_count(rows, **wait)
            answers[agent] = found.last.locator(".words").inner_text()
            timings[agent] = int(found.last.locator(".meta").inner_text().split()[0])

        self.step = "reload: the conversation is still there"
        page.reload()
        expect(page.locator("#who")).to_have_text(username, **wait)
        page.locator(".agent[data-agent=tickets]").click()
        expect(page.locator("[data-answer=tickets]").last).to_contain_text(re.compile(QUESTIONS["tickets"][1]), **wait)
        expect(page.locator("#link-text")).to_have_text("Connected", **wait)

        apis = self._apis(username) if api else {}
        self.step = "no complaint in the browser's console"
        assert not self.complaints, "; ".join(self.complaints)
        return {
            "username": username,
            "version": page.locator("#version").inner_text(),
            "agents": dict.fromkeys(QUESTIONS, "online"),
            "answers": answers,
            "answer_ms": timings,
            "restored": restored,
            "websocket": self.sockets[-1],
            "apis": apis,
        }

    def _credentials(self, username: str, button: str) -> None:
        self.page.get_by_label("User name").fill(username)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.locator("#form").get_by_role("button", name=button, exact=True).click()

    def _apis(self, username: str) -> dict[str, int]:
        """The same host's public APIs, asked by the browser itself (so name and certificate are as for the page)."""
        self.step = "public APIs through the edge"
        script = """async ([credentials, paths]) => {
            const login = await fetch("/auth/login", {method: "POST",
                headers: {"Content-Type": "application/json"}, body: JSON.stringify(credentials)});
            const token = (await login.json()).access_token;
            const seen = {"/auth/login": login.status};
            for (const path of paths) {
                const answer = await fetch(path, {headers: {Authorization: `Bearer ${token}`}});
                await answer.json();
                seen[path] = answer.status;
            }
            return seen;
        }"""
        cards = [f"/agents/{agent}/.well-known/agent-card.json" for agent in QUESTIONS]
        paths = ["/auth/health", "/auth/verify", "/api/health", "/api/agents", "/api/sessions", *cards]
        seen = self.page.evaluate(script, [{"username": username, "password": PASSWORD}, paths])
        wrong = {urljoin(self.base_url, path): status for path, status in seen.items() if status != 200}
        assert not wrong, f"not 200: {wrong}"
        return seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base_url")
    parser.add_argument("--resolve", metavar="HOST=ADDRESS[:PORT]", help="where the name leads")
    parser.add_argument("--ca-file", help="PEM of the CA that the server's certificate comes from")
    parser.add_argument("--insecure", action="store_true", help="accept any certificate")
    parser.add_argument("--screenshot", type=Path)
    parser.add_argument("--api", action="store_true", help="also ask /auth/, /api/ and /agents/ (needs the edge)")
    parser.add_argument("--username", help="a user of an earlier journey")
    given = parser.parse_args()
    rules = f"MAP {given.resolve.replace('=', ' ', 1)}" if given.resolve else None
    try:
        result = run(
            given.base_url,
            rules,
            given.ca_file,
            given.insecure,
            given.screenshot,
            given.api,
            given.username,
        )
    except AssertionError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
