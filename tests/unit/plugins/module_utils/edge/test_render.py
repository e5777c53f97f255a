# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendering: what stands in the files, and what is refused."""

from __future__ import annotations

import dataclasses
import re

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.compose.routes import Limit, Route, StackRoutes
from ansible_collections.landfall.stack.plugins.module_utils.edge.errors import EdgeError
from ansible_collections.landfall.stack.plugins.module_utils.edge.features import Features
from ansible_collections.landfall.stack.plugins.module_utils.edge.render import render, sealed
from ansible_collections.landfall.stack.plugins.module_utils.edge.routing import Certificate, certificate_for, locations
from ansible_collections.landfall.stack.plugins.module_utils.edge.settings import EdgeSettings

HOST = "shop.example.com"


def route(path="/", service="web", **more):
    return Route(HOST, path, service, 8000, **{"upstreams": ("shop-web-1",), **more})


def stack(*routes, name="shop", domains=(HOST,)):
    return StackRoutes(name, domains, f"landfall-edge-{name}", routes or (route(),))


def site(*routes, settings=None, certificates=()):
    return render([stack(*routes)], certificates, settings)["sites/shop.conf"]


def block(text, head):
    found = re.search(rf"^( *){re.escape(head)} \{{\n(.*?)^\1\}}", text, re.MULTILINE | re.DOTALL)
    assert found, f"{head} is not in:\n{text}"
    return found[2]


@pytest.mark.parametrize(
    ("path", "more", "expected"),
    [
        ("/", {}, [("/", None)]),
        ("/auth/", {}, [("/auth/", None)]),
        ("/ws", {}, [("= /ws", None), ("/ws/", None)]),
        ("/api/", {"strip": True}, [("/api/", "/")]),
        ("/api", {"strip": True}, [("= /api", "/"), ("/api/", "/")]),
        ("/v/", {"rewrite": "/v2/"}, [("/v/", "/v2/")]),
        ("/v", {"rewrite": "/v2"}, [("= /v", "/v2"), ("/v/", "/v2/")]),
        ("/", {"strip": True}, [("/", None)]),
    ],
)
def test_locations(path, more, expected):
    assert [(one.match, one.target) for one in locations([route(path, **more)])] == expected


def test_an_explicit_route_wins_over_what_another_implies():
    made = {one.match: one.route.service for one in locations([route("/ws"), route("/ws/", "other")])}
    assert made == {"= /ws": "web", "/ws/": "other"}


@pytest.mark.parametrize(
    ("path", "more", "lines"),
    [
        ("/auth/", {}, ["set $landfall_pool shop_web_8000;", "proxy_pass http://landfall_pools;"]),
        ("/api/", {"strip": True}, ['rewrite "^/api(/\\S*)$" $1 break;', "proxy_pass http://landfall_pools$1;"]),
        ("/v/", {"rewrite": "/v2/"}, ['rewrite "^/v(/\\S*)$" /v2$1 break;', "proxy_pass http://landfall_pools/v2$1;"]),
        ("/e/", {"protocol": "sse"}, ["proxy_buffering off;", "gzip off;", "proxy_read_timeout 3601s;"]),
        ("/w/", {"protocol": "websocket"}, ["set $landfall_upgrade $landfall_websocket;"]),
        ("/w/", {"protocol": "websocket", "timeout": "2h"}, ["proxy_read_timeout 7201s;"]),
        ("/t/", {"timeout": "1m30s"}, ["proxy_read_timeout 91s;"]),
        ("/b/", {"body_size": "1g"}, ["client_max_body_size 1g;", "proxy_request_buffering off;"]),
        ("/l/", {"limit": Limit("10r/s", 20)}, ["limit_req zone=limit_shop_web_10rs burst=20 nodelay;"]),
    ],
)
def test_location_lines(path, more, lines):
    body = block(site(route(path, **more)), f"location {path}")
    for line in lines:
        assert line in body


def test_no_location_has_headers_of_its_own():
    files = render([stack(route(), route("/api/", strip=True), route("/ws", protocol="websocket"))])
    for text in files.values():
        for body in re.findall(r"location [^{]*\{(.*?)\n\s*\}", text, re.DOTALL):
            assert "add_header" not in body and "proxy_set_header" not in body


def test_only_websocket_routes_pass_an_upgrade_on():
    assert "landfall_websocket" not in site(route("/"))


def test_health_is_the_edges_unless_the_stack_routes_it():
    assert 'return 200 "ok' in block(site(route("/")), "location = /health")
    assert "proxy_pass" in block(site(route("/health")), "location = /health")
    assert "location = /health" not in site(route("/"), settings=EdgeSettings(health_path=""))


def test_another_https_port_is_in_redirects_and_host():
    files = render([stack()], settings=EdgeSettings(https_port=8443))
    assert "return 301 https://$host:8443$request_uri;" in files["sites/shop.conf"]
    assert "proxy_set_header X-Landfall-Host $host:8443;" in files["nginx.conf"]


def test_a_domain_without_routes_redirects_to_the_first():
    text = render([stack(domains=(HOST, "www.example.com"))])["sites/shop.conf"]
    assert f"return 301 https://{HOST}$request_uri;" in text


def test_a_service_without_containers_is_answered_and_not_an_error():
    text = render([stack(route(upstreams=()))])["upstreams/shop.conf"]
    assert "server 127.0.0.1:9 down;" in text and "keepalive 32" not in text and "backup" not in text


def test_upstreams_name_containers_and_look_them_up_again():
    text = render([stack(route(upstreams=("shop-web-2", "shop-web-1")))])["upstreams/shop.conf"]
    assert re.findall(r"server (\S+) resolve", text) == ["shop-web-1:8000", "shop-web-2:8000"]
    assert "zone shop_web_8000" in text


def test_the_drain_window_is_the_longest_asked_for():
    text = render([stack(route(drain="30m"))], settings=EdgeSettings(drain="5m"))["nginx.conf"]
    assert "worker_shutdown_timeout 1800s;" in text


def test_proxies_are_believed_only_when_listed():
    assert "real_ip" not in render([stack()])["nginx.conf"]
    text = render([stack()], settings=EdgeSettings(trusted_proxies=("203.0.113.0/24",)))["nginx.conf"]
    assert "set_real_ip_from 203.0.113.0/24;" in text and "real_ip_recursive on;" in text


def test_refused_requests_go_to_the_journal_only_when_asked_for():
    assert "syslog:" not in render([stack()])["nginx.conf"]
    text = render([stack()], settings=EdgeSettings(journal=True))["nginx.conf"]
    assert "access_log syslog:server=unix:/dev/log,tag=landfall_edge,nohostname landfall_refused if=" in text
    assert "access_log /dev/stdout landfall;" in text, "the log itself stays"
    assert '"~^(400|401|403|404|429)$" 1;' in block(text, "map $status $landfall_refused")
    # fail2ban reads the address at the line's beginning: nothing a client sends may stand before it.
    assert re.search(r"log_format landfall_refused escape=json '\$remote_addr \$status ", text)


def test_the_generation_is_the_hash_of_the_content():
    first, files = sealed(render([stack()]))
    assert sealed(render([stack()]))[0] == first
    assert f'return 200 "{first}\\n";' in files["nginx.conf"]
    assert sealed(render([stack(route(upstreams=("shop-web-2",)))]))[0] != first


@pytest.mark.parametrize(("wanted", "there"), [({}, False), ({"gzip": True}, True)])
def test_text_is_compressed_only_when_asked_for(wanted, there):
    assert ("gzip on;" in render([], settings=EdgeSettings.from_dict(wanted))["nginx.conf"]) == there


def test_no_stack_at_all_renders_the_defaults():
    files = render([])
    assert list(files) == ["nginx.conf"] and "ssl_reject_handshake on;" in files["nginx.conf"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("shop.example.com", "exact"),
        ("other.example.com", "wild"),
        ("a.b.example.com", "placeholder"),
        ("example.org", "placeholder"),
    ],
)
def test_certificate_for(host, expected):
    known = [Certificate("wild", ("*.example.com",)), Certificate("exact", ("shop.example.com",))]
    assert certificate_for(host, known) == expected


@pytest.mark.parametrize(
    ("stacks", "said"),
    [
        ([stack(), stack(name="other")], "host shop.example.com belongs to stack other already"),
        ([stack(route("/a"), route("/a", "b"))], "web has the same route"),
        ([stack(route("/a;b"))], "is no path"),
        ([stack(route('/a"'))], "is no path"),
        ([stack(route("/a/$b"))], "is no path"),
        ([stack(route(upstreams=("x;y",)))], "is no container or service name"),
        ([stack(route(limit=Limit("10", 1)))], "is no rate"),
        ([stack(domains=("bad host",))], "is no host name"),
    ],
)
def test_refused_routes(stacks, said):
    with pytest.raises(EdgeError, match=re.escape(said)):
        render(stacks)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"drain": "five minutes"}, "drain"),
        ({"body_size": "10 MB"}, "body_size"),
        ({"headers": {"X-A": 'a"; evil'}}, "headers"),
        ({"trusted_proxies": ["nowhere"]}, "trusted_proxies"),
        ({"ecdh_curve": "X25519; evil"}, "ecdh_curve"),
        ({"drian": "5m"}, "not known"),
    ],
)
def test_refused_settings(values, said):
    with pytest.raises(EdgeError, match=said):
        EdgeSettings.from_dict(values)


def test_unset_settings_keep_their_defaults():
    assert EdgeSettings.from_dict({"drain": None}) == EdgeSettings()


def servers(text):
    return [part for part in text.split("\nserver {") if "add_header" in part]


def test_a_stacks_headers_lie_over_the_edges_in_each_of_its_servers_and_in_no_other():
    csp = "default-src 'self'; report-to=\"x\\y\""
    mine = dataclasses.replace(
        stack(domains=(HOST, "www.example.com")),
        headers={"Content-Security-Policy": csp, "x-frame-options": "DENY", "Referrer-Policy": ""},
    )
    files = render([mine, stack(Route("b.test", "/", "web", 80), name="blog", domains=("b.test",))])
    found = servers(files["sites/shop.conf"])
    assert len(found) == 2
    for text in found:
        escaped = csp.replace("\\", "\\\\").replace('"', '\\"')
        assert f'add_header Content-Security-Policy "{escaped}" always;' in text
        assert 'add_header x-frame-options "DENY" always;' in text and "X-Frame-Options" not in text
        assert 'add_header X-Content-Type-Options "nosniff" always;' in text
        # The application's own: hidden where the edge sends one, let through where the stack took the edge's away.
        assert "proxy_hide_header Content-Security-Policy;" in text and "proxy_hide_header X-Powered-By;" in text
        assert "Referrer-Policy" not in text
    assert "DENY" not in files["sites/blog.conf"] and "proxy_hide_header" not in files["sites/blog.conf"]
    assert "proxy_hide_header Referrer-Policy;" in files["nginx.conf"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("X-A", "$host", "cannot be sent"), ("X A", "b", "cannot be sent"), ("X-A", "b\nc", "cannot be sent"),
     ("content-length", "0", "is the edge's own")],
)  # fmt: skip
def test_headers_that_cannot_be_sent(name, value, said):
    with pytest.raises(EdgeError, match=said):
        render([dataclasses.replace(stack(), headers={name: value})])


def test_an_empty_header_is_left_to_the_application():
    settings = EdgeSettings(headers={"X-Frame-Options": ""}, hsts_max_age=0)
    text = render([stack()], settings=settings)
    assert "X-Frame-Options" not in "".join(text.values())
    assert "Strict-Transport-Security" not in "".join(text.values())


NGINX_V = "nginx version: nginx/1.30.6\nbuilt with OpenSSL 3.6.5 29 Sep 2026 (running with OpenSSL 3.5.7 9 Jun 2026)\n"


@pytest.mark.parametrize(
    ("text", "curves", "minimum"),
    [
        (NGINX_V, "?X25519MLKEM768:X25519", True),
        ("nginx version: nginx/1.27.3\nbuilt with OpenSSL 3.0.15 3 Sep 2024", "X25519", False),
    ],
)
def test_features(text, curves, minimum):
    found = Features.parse(text)
    assert found.curves("X25519MLKEM768:X25519") == curves
    assert found.keepalive_min_timeout is minimum
    main = render([stack()], features=found)["nginx.conf"]
    assert ("keepalive_min_timeout" in main) is minimum


@pytest.mark.parametrize("text", ["nginx version: nginx/1.22.1", "sh: nginx: not found"])
def test_an_image_that_will_not_do_is_refused(text):
    with pytest.raises(EdgeError, match="edge's image"):
        Features.parse(text)


def test_weights_of_a_canary():
    text = render([stack(route(upstreams=("w-1", "w-2"), weights=(("w-1", 9),)))])["upstreams/shop.conf"]
    assert "server w-1:8000 resolve weight=9 max_fails" in text and "server w-2:8000 resolve max_fails" in text


def test_what_clients_reach_names_no_container():
    """Workers of a former configuration answer on connections they keep: they must hand over, not choose."""
    files = render([stack(route(), route("/api/", strip=True), route("/ws", protocol="websocket"))])
    assert set(re.findall(r"proxy_pass http://([^$/;]+)", files["sites/shop.conf"])) == {"landfall_pools"}
    text = files["upstreams/shop.conf"]
    listens = set(re.findall(r"listen (\S+?)[ ;]", text))
    assert listens == {"unix:/etc/landfall/edge/run/pools.sock", *re.findall(r"server (unix:\S+) backup", text)}
    main = files["nginx.conf"]
    assert "keepalive" not in block(main, "upstream landfall_pools") and "default close;" in main


def test_an_upstream_without_addresses_asks_for_a_container_by_name():
    """And not by an error_page: nginx cannot send a body that it has read in part a second time."""
    text = render([stack(route(upstreams=("w-2", "w-1")))])["upstreams/shop.conf"]
    spare = re.findall(r"server (unix:/tmp/early-\w{16}\.sock) backup", text)
    assert spare and spare == re.findall(r"listen (unix:/tmp\S+)", text)
    assert "set $landfall_first w-1;" in text and "error_page" not in text
    assert text.count("proxy_next_upstream_tries 2;") == 2, "a container that failed is not asked once more"


def test_the_first_half_waits_longer_than_the_second():
    files = render([stack(route(timeout="90s"), route("/b/", timeout="10s"))])
    assert "proxy_read_timeout 90s;" in files["upstreams/shop.conf"]
    assert "proxy_read_timeout 91s;" in files["sites/shop.conf"]


def test_idle_connections_to_containers_are_let_go_before_applications_close_them():
    assert "keepalive_timeout 1s;" in block(render([stack()])["upstreams/shop.conf"], "upstream shop_web_8000")
