# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan and switch: what is done, in which order, and what a failure leaves behind."""

from __future__ import annotations

import dataclasses
import json

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.compose.routes import Route, StackRoutes
from ansible_collections.landfall.stack.plugins.module_utils.edge.engine import Edge
from ansible_collections.landfall.stack.plugins.module_utils.edge.errors import EdgeError
from ansible_collections.landfall.stack.plugins.module_utils.edge.plan import Container, Desired, Observed, plan
from ansible_collections.landfall.stack.plugins.module_utils.edge.project import EdgeConfig, compose, spec
from ansible_collections.landfall.stack.plugins.module_utils.edge.switch import Clock, Proof, explain, switch

yaml = pytest.importorskip("yaml")

DESIRED = Desired("new", "spec", "compose", "nginx:1", frozenset({"net-a"}))
RUNS = Container("nginx:1", True, "spec", (), frozenset({"own", "net-a"}))
STEADY = Observed(RUNS, frozenset({"net-a"}), "new", True, "new", "compose")


def kinds(**changes):
    return [f"{one.kind} {one.target}" for one in plan(dataclasses.replace(STEADY, **changes), DESIRED)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        (
            {"container": None, "current": None, "marker": None, "compose": None, "networks": frozenset()},
            ["compose compose.yaml", "switch new", "create container"],
        ),
        ({"current": "old", "marker": "old"}, ["switch new"]),
        ({"marker": "old"}, ["reload new"]),
        ({"marker": None}, ["reload new"]),
        ({"intact": False}, ["switch new"]),
        ({"container": dataclasses.replace(RUNS, networks=frozenset({"own"}))}, ["connect net-a"]),
        ({"networks": frozenset(), "container": dataclasses.replace(RUNS, networks=frozenset({"own"}))}, []),
        (
            {
                "networks": frozenset({"net-a", "net-b"}),
                "container": dataclasses.replace(RUNS, networks=frozenset({"own", "net-a", "net-b"})),
            },
            ["disconnect net-b"],
        ),
        ({"container": dataclasses.replace(RUNS, spec="other")}, ["recreate container"]),
        ({"container": dataclasses.replace(RUNS, running=False), "marker": None}, ["start container"]),
    ],
)
def test_plan(changes, expected):
    assert kinds(**changes) == expected


def test_a_recreate_says_why():
    other = dataclasses.replace(RUNS, spec="other", image="nginx:0")
    assert plan(dataclasses.replace(STEADY, container=other), DESIRED)[0].reason == "its image is nginx:0, not nginx:1"


class Host:
    """An edge in memory; ``refuse``, ``deaf`` and ``die_at`` make it fail."""

    def __init__(self, current=None, runs=None):
        self.generations = {name: {} for name in (current, runs) if name}
        self.link, self.runs, self.time = current, runs, 0.0
        self.refuse, self.deaf, self.die_at = "", False, ""
        self.done: list[str] = []
        self.texts: dict[str, str] = {}
        self.box: Container | None = None
        self.there, self.closed = True, ""
        self.workers = None
        self.certificates = {"placeholder"}

    def _do(self, what):
        if self.die_at == what:
            raise KeyboardInterrupt
        self.done.append(what)

    # nginx
    def test(self, generation):
        self._do("test")
        return self.refuse

    def reload(self):
        self._do("reload")
        if not self.deaf:
            self.runs = self.link

    def marker(self):
        return self.runs

    def last_words(self):
        return "bind() failed"

    def listening(self):
        return self.workers() if self.workers else None

    # disk
    def write(self, generation, files):
        self._do("write")
        self.generations[generation] = dict(files)

    def discard(self, generation):
        self.generations.pop(generation, None)

    def current(self):
        return self.link

    def point(self, generation):
        self._do("point")
        self.link = generation

    def prune(self):
        self._do("prune")

    def unprepared(self, uid):
        return []

    def stacks(self):
        return [StackRoutes("shop", ("a.example.com",), "net-a", (Route("a.example.com", "/", "web", 80),))]

    def has_certificate(self, name):
        return name in self.certificates

    def make_placeholder(self, name, domains, uid):
        self._do(f"placeholder {','.join(domains)} {uid}")
        self.certificates.add(name)

    def files(self, generation):
        return self.generations.get(generation, {})

    def read(self, name):
        return self.texts.get(name)

    def write_file(self, name, text):
        self._do(name)
        self.texts[name] = text

    # docker
    def answers(self):
        return self.there

    def ensure_image(self):
        self._do("image")

    def image_id(self):
        return "sha256:1"

    def unreachable(self):
        return self.closed

    def version(self):
        self._do("version")
        return "nginx version: nginx/1.30.6"

    def container(self):
        return self.box

    def networks(self):
        return frozenset({"net-a"})

    def up(self):
        self._do("up")
        label = yaml.safe_load(self.texts["compose.yaml"])["services"]["nginx"]["labels"]["landfall.edge.spec"]
        self.box = Container(EdgeConfig().image, True, label, (), frozenset({"edge", "net-a"}))
        self.runs = self.link

    def disconnect(self, network):
        self._do("disconnect")
        self.box = dataclasses.replace(self.box, networks=self.box.networks - {network})

    def clock(self):
        def sleep(seconds):
            self.time += seconds

        return Clock(lambda: self.time, sleep)

    def edge(self):
        return Edge(EdgeConfig(), self, self, self.clock())


def test_a_switch_tests_before_it_swaps_and_proves_after():
    host = Host("old", "old")
    switch("new", {"nginx.conf": "x"}, host, host, host.clock())
    assert host.done == ["write", "test", "point", "reload", "prune"]
    assert host.runs == "new" and host.time >= 0.4


def test_workers_that_still_listen_hold_the_proof_up():
    host = Host("old", "old")
    host.workers = lambda: frozenset(
        {(7, 100)} if not host.done.count("reload") or host.time < 0.05 else {(7, 200), (8, 200)}
    )
    switch("new", {}, host, host, host.clock())
    assert 0.05 <= host.time < 0.1


def test_a_worker_from_before_that_never_goes_is_a_failure():
    host = Host("old", "old")
    host.workers = lambda: frozenset({(7, 100), (8, 200)} if "reload" in host.done else {(7, 100)})
    with pytest.raises(EdgeError, match="does not run generation new after 1 s"):
        switch("new", {}, host, host, host.clock(), Proof(within=1))
    assert host.link == "old"


def test_without_sight_of_the_workers_it_takes_many_answers():
    host = Host("old", "old")
    host.workers = lambda: None if "reload" in host.done else frozenset({(7, 100)})
    switch("new", {}, host, host, host.clock())
    assert host.time >= 0.4


def test_a_refused_configuration_leaves_everything():
    host = Host("old", "old")
    host.refuse = "nginx: [emerg] no"
    with pytest.raises(EdgeError):
        switch("new", {}, host, host, host.clock())
    assert (host.link, host.runs, "new" in host.generations) == ("old", "old", False)
    assert "reload" not in host.done


def test_a_reload_that_does_not_take_is_taken_back():
    host = Host("old", "old")
    host.deaf = True
    with pytest.raises(EdgeError, match=r"does not run generation new.*answers with old.*bind\(\) failed"):
        switch("new", {}, host, host, host.clock(), Proof(within=1))
    assert host.link == "old"


@pytest.mark.parametrize("step", ["write", "test", "point", "reload", "prune"])
def test_a_run_killed_at_any_step_is_finished_by_the_next(step):
    host = Host()
    edge = host.edge()
    edge.run()
    host.stacks = lambda: []
    host.die_at = step
    with pytest.raises(KeyboardInterrupt):
        edge.run()
    assert host.link in host.generations
    host.die_at = ""
    edge.run()
    assert host.runs == host.link and edge.run().actions == ()


def test_first_run_check_mode_and_second_run():
    host = Host()
    host.there = False
    before = host.edge().run(apply=False)
    assert host.done == [] and [one.kind for one in before.actions] == ["write", "compose", "switch", "create"]
    host.there = True
    first = host.edge().run()
    assert host.box is not None and first.hosts == ("a.example.com",)
    assert not host.edge().run().changed


def test_a_missing_certificate_gets_a_placeholder_before_nginx_reads_it():
    host = Host()
    host.certificates = {"placeholder"}
    edge = Edge(EdgeConfig(certificates=({"name": "a", "domains": ["a.b", "c.b"]},)), host, host, host.clock())
    assert "placeholder a: nginx starts with a self-signed one" in map(str, edge.run(apply=False).actions)
    edge.run()
    assert host.done.index("placeholder a.b,c.b 101") < host.done.index("test")
    assert not edge.run().changed
    host.certificates = set()
    assert [one.target for one in edge.run(apply=False).actions] == ["placeholder", "a"]


def test_nginx_is_asked_for_its_version_once_for_each_image():
    host = Host()
    host.edge().run(apply=False)
    assert "nginx.json" not in host.texts
    host.done.clear()
    host.edge().run()
    host.edge().run()
    assert host.done.count("version") == 1
    host.image_id = lambda: "sha256:2"
    host.edge().run()
    assert host.done.count("version") == 2


def test_a_published_port_that_does_not_answer_fails_the_run():
    host = Host()
    host.closed = "Connection refused"
    with pytest.raises(EdgeError, match=r"port 80 of this host does not answer: Connection refused\. See `ss "):
        host.edge().run()
    assert host.time >= 4


def test_files_changed_by_hand_are_put_right():
    host = Host()
    edge = host.edge()
    edge.run()
    host.generations[host.link]["nginx.conf"] += "# mine"
    assert [one.reason for one in edge.run(apply=False).actions] == ["its files were changed by hand"]


REFUSALS = [
    (
        'nginx: [emerg] invalid number "x" in /e/generations/ab12/sites/shop.conf:2\nnginx: test failed',
        'nginx refuses the configuration of stack shop (sites/shop.conf line 2: `listen x;`): invalid number "x".',
    ),
    (
        '2026/11/21 05:00:00 [emerg] 7#7: unknown directive "a" in /e/generations/ab12/nginx.conf:9',
        'nginx refuses the configuration (nginx.conf line 9): unknown directive "a".',
    ),
    ('nginx: [emerg] cannot load certificate "/c": BIO', "site.yml, which makes a placeholder"),
]


@pytest.mark.parametrize(("said", "expected"), REFUSALS)
def test_explain(said, expected):
    assert expected in explain(said, {"sites/shop.conf": "server {\n  listen x;\n}"})


def test_compose_is_yaml_and_networks_need_no_new_container():
    config = EdgeConfig(settings={"http3": True}, address="203.0.113.1")
    text = yaml.safe_load(compose(config, ["net-b", "net-a"]))
    nginx = text["services"]["nginx"]
    assert nginx["networks"] == ["edge", "net-a", "net-b"] and text["networks"]["net-a"]["external"] is True
    assert nginx["ports"] == ["203.0.113.1:80:8080", "203.0.113.1:443:8443", "203.0.113.1:443:8443/udp"]
    assert nginx["labels"]["landfall.edge.spec"] == spec(config) != spec(EdgeConfig())


def test_the_journals_socket_is_mounted_only_when_asked_for():
    def mounts(**settings):
        return yaml.safe_load(compose(EdgeConfig(settings=settings), []))["services"]["nginx"]["volumes"]

    assert mounts(journal=False) == mounts()
    assert mounts(journal=True) == [
        *mounts(),
        {
            "type": "bind",
            "source": "/run/systemd/journal/dev-log",
            "target": "/dev/log",
            "bind": {"create_host_path": False},
        },
    ]


def test_the_config_survives_its_file():
    config = EdgeConfig(settings={"drain": "1m"}, certificates=({"name": "a", "domains": ["a.b"]},))
    assert EdgeConfig.from_json(config.to_json()) == config
    with pytest.raises(EdgeError, match=r"run site\.yml"):
        EdgeConfig.from_json(json.dumps({"colour": "blue"}))


@pytest.mark.parametrize(("values", "said"), [({"user": "nginx"}, "uid:gid"), ({"root": "edge"}, "absolute path")])
def test_refused_config(values, said):
    with pytest.raises(EdgeError, match=said):
        EdgeConfig(**values)
