# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One request to a real TLS server on the loopback."""

from __future__ import annotations

import http.server
import shutil
import ssl
import subprocess
import threading

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.clients.https import context_for, get

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204 if self.headers["Host"] == "toy.test" else 500)
        self.end_headers()

    def log_message(self, *_args):
        pass


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory):
    pem = str(tmp_path_factory.mktemp("tls") / "all.pem")
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    argv += ["-subj", "/CN=toy CA", "-addext", "subjectAltName=DNS:toy.test", "-keyout", pem, "-out", f"{pem}.crt"]
    subprocess.run(argv, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{pem}.crt", pem)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], f"{pem}.crt"
    server.shutdown()
    server.server_close()


def test_the_right_name_at_another_address(server):
    port, ca_file = server
    answer = get("https://toy.test/x", context_for(True, ca_file), "127.0.0.1", port, 5)
    assert (answer.status, answer.error, answer.issuer, answer.names) == (204, "", "toy CA", ("toy.test",))
    assert answer.expires > 0


def test_a_wrong_certificate(server):
    port, ca_file = server
    answer = get("https://other.test/", context_for(True, ca_file), "127.0.0.1", port, 5)
    assert answer.status == 0 and "not accepted for other.test" in answer.error
    assert "not accepted" in get("https://toy.test/", context_for(True, None), "127.0.0.1", port, 5).error


def test_without_validation_the_certificate_is_still_told(server):
    port, _ca_file = server
    answer = get("https://other.test/", context_for(False, None), "127.0.0.1", port, 5)
    assert (answer.status, answer.issuer) == (500, "toy CA")


def test_what_cannot_be_read_is_said_to_be_unknown(server, monkeypatch):
    port, _ca_file = server
    monkeypatch.setenv("PATH", "/nonexistent")
    answer = get("https://other.test/", context_for(False, None), "127.0.0.1", port, 5)
    assert (answer.status, answer.issuer) == (500, "unknown (openssl is not installed on this host)")
    assert (answer.names, answer.expires) == ((), 0)


def test_nobody_there():
    answer = get("https://toy.test/", context_for(False, None), "127.0.0.1", 1, 5)
    assert answer.status == 0 and "refused" in answer.error.lower()
