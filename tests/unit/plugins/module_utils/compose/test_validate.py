# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every message of the validation: place, fault and remedy."""

from __future__ import annotations

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.compose.validate import inspect, validate

GOOD = """\
x-landfall:
  domains: [www.example.com, api.example.com]
services:
  web:
    image: web:1
    expose: ["80", "8000-8002"]
    x-landfall:
      route: [{path: /, port: 80}]
  db:
    image: postgres:17
"""


def route(text):
    """A good file with one route, which begins in line 7."""
    return GOOD.replace("{path: /, port: 80}", text)


def extension(text):
    """A good file whose service ``web`` says this below ``x-landfall``, in line 7."""
    return GOOD.replace("route: [{path: /, port: 80}]", text)


def errors(text, env=None, **more):
    return [str(p) for p in inspect([("compose.yaml", text)], {} if env is None else env, **more).problems]


def warnings(*texts):
    names = ["compose.yaml", "prod.yaml"]
    return [str(p) for p in inspect(list(zip(names, texts, strict=False)), {}).warnings]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("content-length: '0'", "headers.content-length: the edge says this header itself; take it away"),
        ("X-A: a$$b", "headers.X-A: 'a$b' is not a header value; write it like default-src 'self'"),
        ('X-A: "a\\nb"', "is not a header value"),
        ("X_A: b", "headers: 'X_A' is not a header name; write it like Content-Security-Policy"),
    ],
)
def test_headers_of_a_stack(header, message):
    text = f"x-landfall:\n  domains: [a.test]\n  edge:\n    headers:\n      {header}\n{GOOD[GOOD.index('services:') :]}"
    (found,) = errors(text.replace("www.example.com", "a.test"))
    assert message in found
    assert errors(text.replace(header, "X-A: b")) == []


def test_a_good_file_is_silent():
    assert validate([("compose.yaml", GOOD)], {}) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: b: c",
            "1: not valid YAML: mapping values are not allowed here; put the value in quotes when it holds ': '",
        ),
        ("services:\n\tweb: 1", "2: not valid YAML: found character '\\t'"),
        ("services:\n\tweb: 1", "indent with spaces, never with tabs"),
        ("a: [1", "close the bracket, or put the missing ',' in"),
        ("a: [${A}]", "put quotes around a ${VARIABLE} that stands inside of brackets"),
        ("a: 'x", "close the quote that was opened"),
        ("services:\n  a:\n    b: 1\n   c: 2", "4: not valid YAML"),
        ("services:\n  a:\n    b: 1\n   c: 2", "indent this line like its neighbours"),
        ("a: *x", "define the anchor with & before it is used with *"),
        ("a: @x", "put the value in quotes: it begins with a character YAML keeps for itself"),
        ("a: {{ x }}", "must be rendered before"),
        ("services: {{ a }}: b", "looks like a Jinja2 template"),
        ("a: &x [*x]", "an alias that holds itself; write the value out"),
        ("- a", "1: the file holds a list, not a mapping; begin with 'services:'"),
        ("services: {}\nservices: {}", "2: the key 'services' is given twice, first in line 1; keep one of them"),
        ("", "services: the file has no services; add at least one below 'services:'"),
    ],
)
def test_syntax(text, message):
    found = errors(text)
    assert len(found) == 1
    assert message in found[0]
    assert found[0].startswith("compose.yaml:")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{pth: /, port: 80}", "route[0].pth: unknown key; did you mean 'path'?"),
        ("{path: /, port: 80, banana: 1}", "route[0].banana: unknown key; known here: path, port"),
        ("{path: /}", "route[0]: 'port' is missing; add it, e.g. port: 9998"),
        ("{port: 80}", "route[0]: 'path' is missing; add it, e.g. path: /auth/"),
        ("{path: api, port: 80}", "route[0].path: 'api' does not begin with '/'; write it like /auth/"),
        ("{path: '/a b', port: 80}", "route[0].path: '/a b' is not a path"),
        ("{path: '/a{', port: 80}", "route[0].path: '/a{' is not a path"),
        ("{path: /, port: x}", "route[0].port: must be a whole number, it is 'x'; write it like 9998"),
        ("{path: /, port: 0}", "route[0].port: 0 is out of range; it must be at least 1"),
        ("{path: /, port: 70000}", "route[0].port: 70000 is out of range; it must be at most 65535"),
        (
            "{path: /, port: 80, protocol: websockt}",
            "route[0].protocol: 'websockt' is not allowed; did you mean 'websocket'? "
            "allowed: 'http', 'websocket' or 'sse'",
        ),
        ("{path: /, port: 80, limit: true}", "route[0].limit: must be a mapping or false, it is true"),
        ("{path: /, port: 80, limit: {rate: 10/s}}", "limit.rate: '10/s' is not a rate; write it like 10r/s"),
        ("{path: /, port: 80, limit: {bust: 1}}", "limit.bust: unknown key; did you mean 'burst'?"),
        ("{path: /, port: 80, body_size: 10mb}", "body_size: '10mb' is not a size; write it like 10m"),
        ("{path: /, port: 80, timeout: 30}", "timeout: 30 is not a duration; write it like 30s"),
        ("{path: /, port: 80, drain: soon}", "drain: 'soon' is not a duration; write it like 30s"),
        ("{path: /, port: 80, strip: maybe}", "strip: must be true or false, it is 'maybe'"),
        ("{path: /, port: 80, strip: true, rewrite: /x}", "route[0]: 'strip' and 'rewrite' together"),
        ("{path: /, port: 80, host: Www.Example.com}", "host: 'Www.Example.com' is not a host name"),
        (
            "{path: /, port: 80, host: ww.example.com}",
            "route[0].host: 'ww.example.com' is not among x-landfall.domains (www.example.com, api.example.com); "
            "did you mean 'www.example.com'? If not, add it there",
        ),
        (
            "{path: /, port: 80}, {path: /, port: 8000}",
            "route[1]: two routes for www.example.com/: this service has it already; "
            "give one of them another path or host",
        ),
    ],
)
def test_route(text, message):
    found = errors(route(text))
    assert any(message in line for line in found), found
    assert all(line.startswith("compose.yaml:8: service web: x-landfall.route") for line in found), found


def test_a_misspelt_key_is_not_missing_as_well():
    assert len(errors(route("{pth: /, port: 80}"))) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "route: 5",
            "x-landfall.route: must be a list or a mapping, it is 5; write it like [{path: /auth/, port: 9998}]",
        ),
        ("route: []", "x-landfall.route: must not be empty; give at least one, or take the key away"),
        ("route: {path: x, port: 1}", "x-landfall.route.path: 'x' does not begin with '/'"),
        ("path: /", "x-landfall.path: unknown key; 'path' belongs to a 'route' of a service"),
        ("domains: [a]", "x-landfall.domains: unknown key; 'domains' belongs to x-landfall at the top of the file"),
        ("rout: {}", "x-landfall.rout: unknown key; did you mean 'route'?"),
        ("rollout: {strategy: rollin}", "rollout.strategy: 'rollin' is not allowed; did you mean 'rolling'?"),
        ("rollout: {max_error_rate: 1}", "rollout.max_error_rate: 1 is not a percentage; write it like 1%"),
        ("rollout: {steps: [10, 5]}", "rollout.steps: [10, 5] does not grow up to 100; write it like [10, 50, 100]"),
        ("rollout: {steps: [0]}", "rollout.steps[0]: 0 is out of range; it must be at least 1"),
        ("hooks: {migrate: {command: 3}}", "hooks.migrate.command: must be a list or text, it is 3"),
        ("hooks: {migrate: {}}", "hooks.migrate: 'command' is missing"),
        ("backup: {sqlite: [data.db]}", "backup.sqlite[0]: 'data.db' does not begin with '/'; write it like /data"),
        ("backup: {quiesce: freeze}", "backup.quiesce: 'freeze' is not allowed; allowed: 'none', 'pause' or 'stop'"),
        ("alerts: {runbook: wiki}", "alerts.runbook: 'wiki' is not a web address"),
    ],
)
def test_service_extension(text, message):
    found = errors(extension(text))
    assert len(found) == 1, found
    assert found[0].startswith("compose.yaml:8: service web: ")
    assert message in found[0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("image: web:1", "imge: web:1\n    build: .", "5: service web: imge: unknown key; did you mean 'image'?"),
        ("    x-landfall:", "    x-landfal:", "7: service web: x-landfal: unknown key; did you mean 'x-landfall'?"),
        ("    x-landfall:", "    landfall:", "7: service web: landfall: unknown key; did you mean 'x-landfall'?"),
        (
            "    image: web:1",
            "    image: web:1\n    route: x",
            "6: service web: route: unknown key; put it below 'x-landfall:'",
        ),
        ("services:", "servces: {}\nservices:", "3: servces: unknown key; did you mean 'services'?"),
        ("    image: web:1\n", "", "4: service web: neither image nor build; say which image it runs"),
        (
            "image: web:1",
            "image: web:1\n    depends_on: [dbb]",
            "depends_on[0]: the service 'dbb' does not exist; did you mean 'db'?",
        ),
        (
            "image: web:1",
            "image: web:1\n    depends_on: {x: {}}",
            "depends_on.x: the service 'x' does not exist; add it below",
        ),
        (
            "image: web:1",
            "image: web:1\n    networks: [back]",
            "networks[0]: the network 'back' does not exist; add it below 'networks:'",
        ),
        (
            "image: web:1",
            "image: web:1\n    secrets: [key]",
            "secrets[0]: the secret 'key' does not exist; add it below 'secrets:'",
        ),
        ("image: web:1", "image: web:1\n    volumes: ['data:/d']", "volumes[0]: the volume 'data' does not exist"),
        (
            "image: web:1",
            "image: web:1\n    network_mode: host",
            "x-landfall.route: a route on a service with network_mode: host; the edge reaches services over a network",
        ),
        ("image: web:1", "image: web:1\n    network_mode: none", "a route on a service with network_mode: none"),
        (
            "image: postgres:17",
            "image: x\n    x-landfall: {route: {path: /, port: 1}}",
            "11: service db: x-landfall.route: two routes for www.example.com/: service web has it already",
        ),
        (
            "  domains: [www.example.com, api.example.com]",
            "  releases: {keep: 3}",
            "8: service web: x-landfall.route[0]: a route, and the stack has no domains; add 'x-landfall: {domains",
        ),
        (
            "[www.example.com, api.example.com]",
            "www.example.com",
            "2: x-landfall.domains: must be a list, it is 'www.example.com'",
        ),
        ("[www.example.com, api.example.com]", "['*.example.com']", "'*.example.com' is not a host name"),
        ("api.example.com", "www.example.com", "domains: 'www.example.com' is given twice; keep one of them"),
        (
            "services:",
            "  relases: {keep: 1}\nservices:",
            "3: x-landfall.relases: unknown key; did you mean 'releases'?",
        ),
        ("services:", "  rollout: {}\nservices:", "unknown key; 'rollout' belongs to x-landfall of a service"),
        ("services:", "  releases: {keep: 0}\nservices:", "releases.keep: 0 is out of range; it must be at least 1"),
        (
            "  db:\n    image: postgres:17",
            "  db:",
            "9: service db: must be a mapping; write at least its image or build",
        ),
        ("  db:", "  d b:", "9: service d b: not a name for a service"),
    ],
)
def test_file(old, new, message):
    found = errors(GOOD.replace(old, new, 1))
    assert any(message in line for line in found), found


def test_services_of_another_shape():
    assert "services: must be a mapping" in errors("services: [a]")[0]


def test_a_cycle_is_named():
    text = "services:\n  a: {image: i, depends_on: [b]}\n  b: {image: i, depends_on: [a]}\n"
    assert errors(text) == [
        "compose.yaml:2: service a: depends_on: services wait for each other: a -> b -> a; "
        "take one of these depends_on away"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            route("{path: /, port: 81}"),
            "compose.yaml:8: service web: x-landfall.route[0].port: port 81 is not among the ports the service says it "
            "listens on (80, 8000, 8001, 8002); correct the port, or add it to 'expose'",
        ),
        (
            GOOD.replace('expose: ["80", "8000-8002"]', 'ports: ["80:80"]'),
            "compose.yaml:6: service web: ports[0]: publishes port 80 of the host, which belongs to the edge; "
            "use x-landfall.route instead; for a laptop keep it in compose.override.yaml",
        ),
        (GOOD.replace("image: web:1", "image: web:1\n    zzzz: 1"), "a key Compose does not know; check its spelling"),
    ],
)
def test_warnings(text, message):
    assert errors(text) == []
    found = warnings(text)
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(
    "ports",
    [
        "expose: ['81']\n    ports: ['127.0.0.1:8080:80/tcp']",
        "ports: [{target: 80}]",
        "image: w",
        "expose: ['${P:-80}']",
        "expose: [80]",
    ],
)
def test_a_port_that_is_listened_on_gives_no_warning(ports):
    text = GOOD.replace('    expose: ["80", "8000-8002"]\n', "" if ports == "image: w" else f"    {ports}\n")
    assert warnings(text) == []


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("web:${TAG}", "variable TAG is not set; set it in the env file or in 'env', or write ${TAG:-default}"),
        ("web:$TAG", "variable TAG is not set"),
        ("web:${TAG:?the version}", "variable TAG is not set (the version)"),
        ("web:${TAG", "'web:${TAG' is no valid variable; write ${NAME}, or $$ for a plain dollar sign"),
    ],
)
def test_variables(image, message):
    found = errors(GOOD.replace("web:1", f"'{image}'"))
    assert found == [line for line in found if line.startswith("compose.yaml:5: service web: image: " + message)]
    assert len(found) == 1


def test_an_unknown_value_is_reported_once_and_not_judged():
    report = inspect([("compose.yaml", route("{path: /, port: '${PORT}'}").replace("www.example.com", "'${D}'"))], {})
    assert [str(p).split(": ")[-1].split(";")[0] for p in report.problems] == [
        "variable D is not set",
        "variable PORT is not set",
    ]
    assert report.unset == ["D", "PORT"]


def test_known_variables_and_unknown_environments_are_not_reported():
    text = GOOD.replace("web:1", "'web:${TAG:?}'")
    assert errors(text, known=["TAG"]) == []
    assert validate([("compose.yaml", text)], None) == []


def test_values_from_variables_get_their_type():
    text = route("{path: /, port: '${PORT}', strip: '${STRIP}', limit: '${LIMIT}'}")
    assert errors(text, {"PORT": "80", "STRIP": "true", "LIMIT": "false"}) == []
    assert "must be a whole number, it is 'x'" in errors(text, {"PORT": "x", "STRIP": "true", "LIMIT": "false"})[0]


def test_overlays_merge_and_name_their_own_lines():
    over = "services:\n  web:\n    x-landfall:\n      route:\n        - {path: /, port: 80, host: x.example.com}\n"
    found = validate([("compose.yaml", GOOD), ("prod.yaml", over)], {})
    assert [str(p).split(" is not")[0] for p in found] == [
        "prod.yaml:5: service web: x-landfall.route[0].host: 'x.example.com'"
    ]
    domains = "x-landfall: {domains: [x.example.com]}\n"
    assert validate([("compose.yaml", GOOD), ("prod.yaml", over + domains)], {}) == []


def test_an_overlay_keeps_the_routes_it_does_not_name():
    over = "services:\n  web:\n    x-landfall: {rollout: {batch: 2}}\n"
    report = inspect([("compose.yaml", GOOD), ("prod.yaml", over)], {})
    assert report.merged["services"]["web"]["x-landfall"] == {
        "route": [{"path": "/", "port": 80}],
        "rollout": {"batch": 2},
    }
    assert report.problems == []


def test_reset_and_override():
    over = "services:\n  web:\n    expose: !override ['81']\n    x-landfall: !reset null\n  db: !reset null\n"
    report = inspect([("compose.yaml", GOOD), ("prod.yaml", over)], {})
    assert report.problems == []
    assert report.merged["services"] == {"web": {"image": "web:1", "expose": ["81"]}}


def test_include_and_extends_leave_references_to_compose():
    text = "include: [other.yaml]\nservices:\n  a: {image: i, depends_on: [b]}\n"
    assert errors(text) == []
    assert errors("services:\n  a: {extends: {file: b.yaml, service: b}, networks: [n]}\n") == []


def test_report():
    report = inspect([("compose.yaml", GOOD.replace("web:1", "web:${V:-2}\n    build: ."))], {})
    assert report.services == ["db", "web"]
    assert report.domains == ["www.example.com", "api.example.com"]
    assert report.hosts == ["www.example.com"]
    assert report.images == {"db": "postgres:17"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("22:22", "22:22"),
        ("on", "on"),
        ("true", True),
        ("012", 10),
        ("2020-01-01", "2020-01-01"),
        ("~", None),
        ("1.5", 1.5),
        ("1", 1),
    ],
)
def test_scalars_as_compose_reads_them(text, value):
    assert inspect([("compose.yaml", f"x-a: {text}\nservices: {{a: {{image: i}}}}")], {}).merged["x-a"] == value


def test_anchors_and_merge_keys():
    text = "x-base: &base\n  image: i\nservices:\n  a:\n    <<: *base\n    expose: ['1']\n"
    text += "  b:\n    <<: [*base]\n    image: j\n"
    report = inspect([("compose.yaml", text)], {})
    assert report.problems == []
    assert report.merged["services"] == {"a": {"image": "i", "expose": ["1"]}, "b": {"image": "j"}}
