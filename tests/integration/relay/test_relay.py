# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edge and relay with a real nginx: upstreams change under keep-alive clients, and nothing fails."""

from __future__ import annotations

import http.client
import socket
import threading
import time

import pytest
from relay_rig import HOST, STACK, Client, Shop, docker, images_there

from ansible_collections.landfall.stack.plugins.module_utils.clients.traffic import TrafficError
from ansible_collections.landfall.stack.plugins.module_utils.relay.spec import RelayTarget

ROUNDS = 5


@pytest.fixture(scope="module")
def shop():
    if not images_there():
        pytest.fail("the images of the lab are not at hand; set LANDFALL_NGINX_IMAGE and LANDFALL_PYTHON_IMAGE")
    one = Shop()
    try:
        one.up()
        first = one.app("landfall-it-web-0")
        one.traffic.prepare(one.relay(first))
        one.traffic.switch(one.routes(first), one.relay(first))
        one.serving = first
        yield one
    finally:
        one.down()


def ask(address, port, host, path="/", method="GET", body=None):
    link = http.client.HTTPConnection(address, port, timeout=5)
    link.request(method, path, body, {"Host": host})
    answer = link.getresponse()
    return answer.status, answer.read().decode(), dict(answer.getheaders())


def test_five_switches_lose_nothing(shop):
    address = shop.relay_address
    clients = [Client(address, 8000, "web", pause) for pause in (0.002, 0.01, 0.05, 0.5, 1.02, 2.3)]
    clients += [Client(address, 8000, "web", 0.1, path="/slow")]
    clients += [Client("127.0.0.1", 28443, HOST, pause, tls=True) for pause in (0.002, 0.01, 0.05, 0.5, 1.02, 2.3)]
    clients += [Client("127.0.0.1", 28443, HOST, 0.01, tls=True, size=300_000)]
    for one in clients:
        one.start()
    switched = []
    try:
        for turn in range(1, ROUNDS + 1):
            new, old = shop.app(f"landfall-it-web-{turn}"), shop.serving
            done = shop.traffic.switch(shop.routes(new), shop.relay(new))
            switched.append((time.time(), new, done))
            shop.serving = new
            addresses = [shop.address(old), shop.address(old, shop.edge_net)]
            until = time.time() + 10
            while not (shop.traffic.settled(switched[-1][0]) and shop.traffic.quiet(addresses)):
                assert time.time() < until, f"{old} is still talked to"
                time.sleep(0.05)
            docker("stop", "--time", "1", old)
            docker("rm", old)
            time.sleep(1)
    finally:
        results = [one.done() for one in clients]
    failures = [failure for _answers, failed in results for failure in failed]
    answers = [answer for answered, _failed in results for answer in answered]
    print(*(done for _at, _new, done in switched), f"{len(answers)} answers", sep="\n")
    assert not failures, failures[:5]
    assert all(answered for answered, _failed in results) and len(answers) > 1000
    order = ["landfall-it-web-0", *(new for _at, new, _done in switched)]
    for turn, (at, new, _done) in enumerate(switched, 1):
        strays = {said for began, _end, said in answers if began > at and order.index(said) < turn}
        assert not strays, f"after the switch to {new} these answered: {strays}"


def test_idle_connections_from_before_go_to_the_new(shop):
    links = [socket.create_connection((shop.relay_address, 8000), timeout=5) for _ in range(8)]
    request = b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nhi"
    for link in links:
        link.sendall(request)
        assert shop.serving.encode() in link.recv(4096)
    slow = socket.create_connection((shop.relay_address, 8000), timeout=5)
    slow.sendall(request[:-1])  # one byte is missing: it is in flight
    old, new = shop.serving, shop.app("landfall-it-web-idle")
    shop.traffic.switch(shop.routes(new), shop.relay(new))
    shop.serving = new
    assert shop.traffic.old_workers() > 0
    for link in links:
        link.sendall(request)
        assert new.encode() in link.recv(4096)
    assert not shop.traffic.quiet([shop.address(old)])
    slow.sendall(b"i")
    assert old.encode() in slow.recv(4096)
    time.sleep(0.3)
    assert shop.traffic.quiet([shop.address(old)])
    docker("rm", "--force", old)


def test_a_slow_upload_at_the_edge_goes_where_requests_go_when_it_is_whole(shop):
    client = Client("127.0.0.1", 28443, HOST, tls=True)
    link = client._connect()
    link.connect()
    link.sock.sendall(f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 4\r\n\r\nab".encode())
    time.sleep(0.2)
    old, new = shop.serving, shop.app("landfall-it-web-upload")
    shop.traffic.switch(shop.routes(new), shop.relay(new))
    shop.serving = new
    assert shop.traffic.quiet([shop.address(old, shop.edge_net)])
    docker("rm", "--force", old)
    link.sock.sendall(b"cd")
    assert new.encode() in link.sock.recv(4096)


def test_the_relay_is_transparent(shop):
    status, said, headers = ask(shop.relay_address, 8000, "web:8000", "/headers")
    assert status == 200 and said.split()[1] == "web:8000" and headers["Server"] == "app"
    assert sorted(said.split()[2:]) == ["accept-encoding", "host"]
    assert not [name for name in headers if "landfall" in name.lower()]


def test_a_name_nobody_has_is_refused_where_two_services_share_a_port(shop):
    assert ask(shop.relay_address, 8000, "anything")[0] == 200
    both = shop.relay(shop.serving, more=(RelayTarget("api", (8000,), ("api",), ()),))
    link = socket.create_connection((shop.relay_address, 8000), timeout=5)
    assert shop.traffic.prepare(both)
    shop.traffic.switch(shop.routes(shop.serving), both)
    # A name that comes cuts nobody: a further container holds it.
    link.sendall(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
    assert shop.serving.encode() in link.recv(4096)
    address = shop.address(f"landfall-relay-{STACK}-default-2")
    status, said, _headers = ask(address, 8000, "other")
    assert status == 421 and "api, shop, web" in said
    assert ask(address, 8000, "shop")[0] == 200
    assert ask(address, 8000, "api")[0] == 502
    assert not shop.traffic.prepare(both)
    back = shop.relay(shop.serving)
    assert shop.traffic.prepare(back)
    shop.traffic.switch(shop.routes(shop.serving), back)


def test_websockets_pass_and_outlive_a_switch(shop):
    link = socket.create_connection((shop.relay_address, 8000), timeout=5)
    link.sendall(b"GET /ws HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert b"101 " in link.recv(4096)
    link.sendall(b"one")
    assert link.recv(10) == b"one"
    assert shop.traffic.switch(shop.routes(shop.serving), shop.relay(shop.serving), force=True).changed
    link.sendall(b"two")
    assert link.recv(10) == b"two"


@pytest.mark.parametrize("size", [0, 300_000], ids=["without a body", "uploads"])
def test_new_names_answer_from_the_first_request_on(shop, size):
    """nginx looks a new name up some milliseconds after its workers start; no request may fall into that.

    A body that has been read in part only is what nginx cannot hand on a second time: it would wait for an answer to
    a request that it never sends to its end.
    """
    failed, asked, enough = [], [], []

    def hammer():
        while not enough:
            asked.append(time.monotonic())
            try:
                status, said, _ = ask(shop.relay_address, 8000, "web", method="POST", body=b"x" * size)
            except OSError as problem:
                status, said = 0, repr(problem)
            if status != 200:
                failed.append((status, said))

    other = shop.app("landfall-it-web-other")
    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(10):
            name = (other, shop.serving)[turn % 2]
            shop.traffic.switch(shop.routes(name), shop.relay(name))
    finally:
        enough.append(True)
        for thread in threads:
            thread.join()
    assert len(asked) > 100 and not failed, (len(asked), failed[:3])
    docker("rm", "--force", other)


def test_nothing_to_do_is_nothing_done(shop):
    done = shop.traffic.switch(shop.routes(shop.serving), shop.relay(shop.serving))
    assert not done.changed and not done.parts and done.edge and done.relay
    assert not shop.traffic.prepare(shop.relay(shop.serving))


def test_what_nginx_refuses_changes_nothing(shop):
    before = shop.traffic.read_routes()
    bad = shop.routes(shop.serving).replace('"body_size": "10m"', '"body_size": "99999999999999999999g"')
    with pytest.raises(TrafficError, match="refuses"):
        shop.traffic.check(bad, shop.relay(shop.serving))
    with pytest.raises(TrafficError, match="refuses"):
        shop.traffic.switch(bad, shop.relay("landfall-it-nobody"))
    assert shop.traffic.read_routes() == before
    assert ask(shop.relay_address, 8000, "web")[:2] == (200, shop.serving)


def test_requests_are_read_from_the_log(shop):
    since = time.time()
    client = Client("127.0.0.1", 28443, HOST, tls=True, path="/some/path?token=1")
    client.start()
    time.sleep(0.5)
    client.done()
    time.sleep(0.2)
    found = shop.traffic.requests(since)
    assert len(found) == len(client.answers) > 3
    address = f"{shop.address(shop.serving, shop.edge_net)}:8000"
    assert {(one.service, one.path, one.status, one.upstream, one.upstream_status) for one in found} == {
        ("web", "/some/path", 200, address, 200)
    }
