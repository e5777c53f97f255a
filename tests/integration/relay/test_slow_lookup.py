# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real nginx of the relay whose DNS takes a second: the pools are empty that long, and nothing may fail.

At every switch this window is there for the new containers' names, some milliseconds wide.
"""

from __future__ import annotations

import http.client
import os
import socket
import socketserver
import tempfile
import threading
import time

import pytest
from relay_rig import NGINX, STACK, Client, Shop, docker, images_there, write

from ansible_collections.landfall.stack.plugins.module_utils.edge.features import Features
from ansible_collections.landfall.stack.plugins.module_utils.relay.render import main, render
from ansible_collections.landfall.stack.plugins.module_utils.relay.spec import RelayNetwork, RelaySpec, RelayTarget

SLOW = 1.0
NAME = "landfall-it-slow-dns"
APP = "landfall-it-web-slow"


class Dns(socketserver.ThreadingUDPServer):
    """Answers every question for an A record with one address, after a while."""

    daemon_threads = True

    def __init__(self, listen, address):
        super().__init__((listen, 0), self.Answer)
        self.address, self.asked = address, []

    class Answer(socketserver.BaseRequestHandler):
        def handle(self):
            question, link = self.request
            self.server.asked.append(time.monotonic())
            time.sleep(SLOW)
            end = question.index(b"\0", 12) + 5
            head = question[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question[12:end]
            record = b"\xc0\x0c\0\1\0\1\0\0\0\x02\0\4" + socket.inet_aton(self.server.address)
            link.sendto(head + record, self.client_address)


@pytest.fixture
def relay():
    """The address of a relay that was started just now."""
    if not images_there():
        pytest.fail("the images of the lab are not at hand; set LANDFALL_NGINX_IMAGE and LANDFALL_PYTHON_IMAGE")
    shop, root = Shop(), tempfile.mkdtemp(prefix="landfall-it-slow-", dir="/tmp")
    docker("rm", "--force", NAME, check=False)
    shop.down(keep=True)
    docker("network", "create", shop.net)
    docker("network", "create", "--internal", shop.edge_net)
    gateway = docker("network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", shop.net)
    try:
        shop.app(APP)
        with Dns(gateway, shop.address(APP)) as dns:
            threading.Thread(target=dns.serve_forever, daemon=True).start()
            web = RelayTarget("web", (8000,), ("web",), (APP,))
            spec = RelaySpec(STACK, (RelayNetwork("default", shop.net, (web,)),))
            text = render(spec, root, Features())[main("default")]
            assert "resolver 127.0.0.11 valid=2s" in text
            text = text.replace("resolver 127.0.0.11", f"resolver {gateway}:{dns.server_address[1]}")
            write(f"{root}/relay.conf", text)
            os.chmod(root, 0o755)
            os.mkdir(f"{root}/run")
            os.chmod(f"{root}/run", 0o777)
            docker("run", "--detach", "--name", NAME, "--network", shop.net, "--read-only", "--tmpfs", "/tmp:mode=1777",
                   "--volume", f"{root}:{root}", "--entrypoint", "nginx", NGINX,
                   "-e", "/dev/stderr", "-c", f"{root}/relay.conf", "-g", "daemon off;")  # fmt: skip
            address = shop.address(NAME)
            until = time.monotonic() + 10
            with socket.socket() as link:
                while link.connect_ex((address, 8000)):
                    assert time.monotonic() < until, docker("logs", NAME)
                    time.sleep(0.01)
            yield address
            assert dns.asked
            dns.shutdown()
    finally:
        docker("rm", "--force", NAME, check=False)
        shop.down()


def test_an_upload_that_meets_a_lookup_is_sent_to_its_end(relay):
    clients = [Client(relay, 8000, "web", 0.01, size=size) for size in (0, 200, 300_000, 3_000_000)]
    for one in clients:
        one.start()
    link = http.client.HTTPConnection(relay, 8000, timeout=20)
    link.request("GET", "/headers", headers={"Host": "web:8000"})
    answer = link.getresponse()
    assert answer.read().decode().split() == [APP, "web:8000", "accept-encoding", "host"]
    assert answer.getheader("Server") == "app" and not [name for name in answer.headers if "landfall" in name.lower()]
    until = time.monotonic() + 40
    while not all(one.answers or one.failures for one in clients):
        assert time.monotonic() < until, "a client has neither an answer nor a failure"
        time.sleep(0.01)
    results = [one.done() for one in clients]
    failures = [failure for _answers, failed in results for failure in failed]
    assert not failures, failures
    for answers, _failed in results:
        first_began, first_ended, said = answers[0]
        assert said == APP
        # It did meet the lookup: else this shows nothing.
        assert first_ended - first_began > SLOW / 2
