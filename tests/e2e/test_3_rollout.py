"""Rolling updates on a real host, through the playbooks, with customers who are served all the while.

The twelve hard cases of a rollout, and the tests that hold their protection. `make trials` takes each protection out
and sees its test fail; case 4 only together with the drain, which holds it, too.

 1  SIGTERM while the proxy still routes there    test_deploy_drops_nothing
 2  traffic before it is healthy                  test_a_name_leads_to_the_relay_only, test_bad_releases_go_back
 3  idle keep-alive connections and a reload      test_deploy_drops_nothing (idle); tests/integration/relay
 4  a reload accepted but not yet effective       tests/unit/…/edge/test_switch.py, tests/integration/relay
 5  addresses change or are used again            test_addresses_that_change_places, test_reboot_in_the_middle
 6  WebSocket, SSE, slow requests                 test_open_connections_live_on
 7  weak gates                                    test_bad_releases_go_back[closed]
 8  killed runs                                   test_killed_and_run_again, test_reboot_in_the_middle
 9  two deploys at once                           test_two_deploys_at_once
10  one host of several fails                     test_all_hosts_or_none
11  what cannot run twice                         test_what_cannot_run_twice_is_stopped_first_and_what_is_removed_goes
12  state as observed, rollback of everything     test_rollback_brings_all_of_it_back, test_bad_releases_go_back

The tests stand in one order but need none: each begins with whatever good version runs and rolls to another.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import threading
import time

import pytest
from bench.rollout.load.websocket import Closed, WebSocket

from lab.lab import PROJECT
from lab.leaks import leaks, secrets_of
from lab.shell import docker, wait_for

from . import shop_ground
from .shop_ground import MISSING, Shop

JARVIS = {
    "name": "jarvis",
    "src": str(PROJECT / "examples" / "jarvis"),
    "files": ["compose.yaml", "compose.prod.yaml"],
    "env": {"REGISTRY": shop_ground.REGISTRY, "VERSION": "1.0.0", "JARVIS_DOMAIN": "jarvis.localhost"},
    "generate_secrets": [{"name": "JWT_SECRET_KEY", "env": True}],
}
#: where the second host stands: the lab's DNS leads elsewhere.test there
SECOND = 200
#: seconds in which a bake of 2 s has certainly ended, on a machine that has too much to do, too
LATE_S = 20


def inventory(lab, **hosts) -> None:
    """Write the shop's inventory: host → its variables."""
    where = lab.state / "inventory-shop"
    where.mkdir(parents=True, exist_ok=True)
    link = where / "group_vars"
    if not link.is_symlink():
        link.symlink_to(PROJECT / "inventories" / "local" / "group_vars")
    common = {"lab_name": lab.name, "lab_project": str(PROJECT), "lab_state": str(lab.state)}
    content = {"landfall": {"hosts": {name: {**common, **more} for name, more in hosts.items()}}}
    (where / "hosts.json").write_text(json.dumps(content, indent=2))


@pytest.fixture(scope="module")
def shop(lab):
    """The host of the suite, or a new one, with the shop beside Jarvis."""
    shop_ground.publish_shop(lab)
    if not lab.running("host"):
        lab.host(image="landfall-lab/host-docker:trixie", publish=True)
    shop = Shop(lab, lab.state / "shop")
    inventory(lab, embedded={"ansible_host": lab.address(), "shop_domain": shop_ground.DOMAIN})
    if not shop.sh("readlink /opt/landfall/shop/current", check=False).strip():
        began = time.monotonic()
        run = shop.play("site", version="1", landfall_stacks=[JARVIS, shop.stack({"VERSION": "1"})])
        assert run.rc == 0, run.output[-8000:]
        print(f"site.yml: {time.monotonic() - began:.0f} s")
    return shop


@pytest.fixture(scope="module")
def arriving(lab, shop, request):
    """The second host's way to production begins with the first test and goes on beside it: a Play, or None."""
    if not any("all_hosts" in item.name for item in request.session.items):
        return None
    kept = os.environ.get("LANDFALL_KEEP") and lab.running("second")
    if not kept:
        lab.remove_host("second")
    address = lab.host("second", image="landfall-lab/host-docker:trixie", last=SECOND)
    inventory(
        lab,
        embedded={"ansible_host": lab.address(), "shop_domain": shop_ground.DOMAIN},
        second={"ansible_host": address, "shop_domain": "shop.elsewhere.test"},
    )
    return None if kept else shop.start("site", version=shop_ground.GOOD[-1], landfall_hosts="second")


@pytest.fixture(scope="module")
def second(lab, shop, arriving):
    """A second host with the shop, in one inventory with the first."""
    if arriving:
        run = arriving.wait(600)
        assert run.rc == 0, run.output[-6000:]
    other = Shop(lab, lab.state / "shop")
    other.host.container = lab.container("second")
    yield other
    if not os.environ.get("LANDFALL_KEEP"):
        lab.remove_host("second")


@pytest.fixture
def served(shop, arriving):
    """Customers during the whole test, which begins with one good version; none of them may be turned away."""
    shop.base()
    with shop.load() as load:
        yield load
    assert not load.failed(), load.failed()


def lines(output: str, word: str = "wave") -> list[str]:
    """The plan's lines in what a playbook printed; YAML may have broken them."""
    text = " ".join(output.split())
    return re.findall(rf"{word} \d+: [^:]+: (?:rolling|blue-green|canary|stopped first)", text)


# -- a good release ---------------------------------------------------------------------------------------------------


def test_deploy_drops_nothing(shop, served):
    """The plan said before is the plan carried out, nothing is dropped, Docker agrees; a second run changes nothing."""
    before, version = shop.ids(), shop.next()
    foretold = shop.deploy(version, "--check", "--diff")
    assert shop.ids() == before, "check mode touched a container"
    assert f"shop-app:{version}" in foretold.output or "image shop-app" in foretold.output, foretold.output[-3000:]
    began = time.time()
    run = shop.deploy(version)
    assert lines(foretold.output) and sorted(set(lines(foretold.output))) == sorted(set(lines(run.output)))
    report = shop.report()
    assert [wave["services"] for wave in report["waves"]] == [["api"], ["web"]]
    assert {row["service"]: row["strategy"] for row in report["services"]} == {"api": "rolling", "web": "rolling"}
    assert not set(before.values()) & set(shop.ids().values()), "an old container is still there"
    shop.well(version)
    listed = shop.sh("cd /opt/landfall/shop/current && docker compose -p shop ps --format '{{.Name}} {{.State}}'")
    assert sorted(listed.split()[::2]) == sorted(shop.ids()) and listed.count("running") == 4, listed
    assert served.versions(since=began)[version] > 20
    time.sleep(1)
    late = time.time()
    wait_for("answers of the new version", lambda: sum(served.versions(since=late).values()) > 20, 10)
    assert set(served.versions(since=late)) == {version}
    after = shop.ids()
    again = shop.deploy(version)
    assert again.total("changed") == 0, re.findall(r"^changed.*", again.output, re.MULTILINE)
    assert shop.ids() == after


def test_a_name_leads_to_the_relay_only(shop, served):
    """Case 2, inside the stack: while api is rolled, its name never leads to a container of it, ready or not."""
    version = shop.current()["version"]
    web = shop.sh("docker ps --filter name=shop-web --format '{{.Names}}' | head -1").strip()
    relay = shop.sh(
        "docker inspect -f '{{(index .NetworkSettings.Networks \"shop_default\").IPAddress}}' "
        "landfall-relay-shop-default"
    ).strip()
    script = """
import collections, json, os, socket, sys, time
import httpx, requests
pool, session = httpx.Client(timeout=10), requests.Session()
seen, failed, asked, versions = set(), [], 0, collections.Counter()
print("ready", flush=True)
while not os.path.exists("/tmp/enough"):
    asked += 1
    try:
        found = {info[4][0] for info in socket.getaddrinfo("api", 8000, type=socket.SOCK_STREAM)}
        seen |= found
        for address in found:
            socket.create_connection((address, 8000), 5).close()
        got = (pool, session)[asked % 2].request("POST" if asked % 3 else "GET",
            "http://api:8000/" + ("echo" if asked % 3 else "ping"), **({"data": b"x"} if asked % 3 else {}))
        versions[got.headers["x-version"]] += 1
        if got.status_code != 200:
            failed.append(got.text)
    except Exception as error:
        failed.append(repr(error))
    time.sleep(0.03)
print(json.dumps({"seen": sorted(seen), "failed": failed, "asked": asked, "versions": versions}))
"""
    out: list[str] = []
    worker = threading.Thread(
        target=lambda: out.append(docker("exec", shop.host.container, "docker", "exec", web, "python", "-c", script))
    )
    worker.start()
    other = shop.next()
    try:
        run = shop.deploy(version, env={"API_VERSION": other})
    finally:
        shop.sh(f"docker exec {web} touch /tmp/enough")
        worker.join(30)
    assert [wave["services"] for wave in shop.report()["waves"]] == [["api"]], run.output[-2000:]
    told = json.loads(out[0].splitlines()[-1])
    assert told["failed"] == [] and told["asked"] > 50, told
    assert told["seen"] == [relay], f"api led to {told['seen']}, the relay is {relay}"
    assert set(told["versions"]) == {version, other}
    named = shop.sh(f"docker exec {web} getent hosts api").split()
    assert named[0] == relay and shop.sh("docker ps -q --filter name=shop-api | wc -l").strip() == "2"


def test_open_connections_live_on(shop):
    """Case 6: WebSocket, SSE and a slow request that were there before outlive the switch, within their window."""
    old, version = shop.base(), shop.next()
    seen: dict[str, object] = {}

    async def chat() -> None:
        socket = await WebSocket.open(shop.target(), "/ws")
        seen["ws_version"] = socket.version
        try:
            while "stop" not in seen:
                await socket.echo(b"hello")
                seen["ws_last"] = time.time()
                await asyncio.sleep(0.2)
        except Closed as closed:
            seen["ws_closed"], seen["ws_code"] = time.time(), closed.code

    async def watch() -> None:
        # One stream after the other: some begin before the switch, and all must be whole.
        while "stop" not in seen:
            try:
                seen.setdefault("sse", []).append((time.time(), await kinds.sse(), time.time()))
            except Exception as error:
                seen.setdefault("sse_failed", []).append(repr(error))
            await asyncio.sleep(0.1)

    async def wait() -> None:
        async def one() -> None:
            begin = time.time()
            try:
                seen.setdefault("slow", []).append((begin, await kinds.slow(), time.time()))
            except Exception as error:
                seen.setdefault("slow_failed", []).append(repr(error))

        tasks = []
        while "stop" not in seen:
            tasks.append(asyncio.ensure_future(one()))
            await asyncio.sleep(0.5)
        await asyncio.gather(*tasks)

    async def all_of_it() -> None:
        await asyncio.gather(chat(), watch(), wait())

    kinds = shop_ground.Kinds(shop.target())
    customers = threading.Thread(target=lambda: asyncio.run(all_of_it()))
    with shop.load() as load:
        customers.start()
        line = shop.host.journal_length()
        wait_for("the WebSocket", lambda: "ws_last" in seen, 10)
        shop.deploy(version)
        time.sleep(1)
        seen["stop"] = True
        customers.join(30)
    assert not load.failed(), load.failed()
    journal = shop.host.journal(line)
    switched = max(entry["epoch"] for entry in journal if entry["step"] == "wave 2 switched")
    web = next(row for row in shop.report()["services"] if row["service"] == "web")
    assert seen["ws_version"] == old
    # The journal's clock shows whole seconds.
    lived = seen["ws_closed"] - switched
    assert 5 <= lived <= 11, f"the WebSocket lived for {lived:.1f} s after the switch, its window is 6 s"
    assert seen["ws_code"] in (1001, 1012), "it was cut off without a goodbye"
    assert seen["ws_closed"] - seen["ws_last"] < 1, "it did not answer till its end"
    assert any(not one["drained"] for one in web["drain"].values()), web["drain"]
    assert "sse_failed" not in seen and "slow_failed" not in seen, seen
    across = [one for one in seen["slow"] if one[1] == old and one[0] < switched and one[2] > switched + 2]
    assert across, "no slow request began before the switch and ended well after it"
    assert set(load.versions(since=switched + 2, kind="get_new")) == {version}
    shop.well(version)


# -- the way back -----------------------------------------------------------------------------------------------------


def test_rollback_brings_all_of_it_back(shop):
    """Case 12: image, variables, Compose file and routes, without a version; then a named one; not an unknown one."""
    # One of the two releases has no route to api.
    with shop.load(get_api=0) as load:
        _there_and_back(shop)
    assert not load.failed(), load.failed()


def _there_and_back(shop) -> None:
    first, second = shop.base(), shop.next()
    one = shop.current()["id"]
    greeting = shop.ask("/greeting")
    routes = shop.sh("cat /etc/landfall/edge/stacks/shop.json")
    over = "services: {api: {x-landfall: {route: {path: /goods/, port: 8000, strip: true, limit: false}}}}\n"
    shop.deploy(second, env={"GREETING": "good night"}, over=over)
    two = shop.current()["id"]
    assert shop.ask("/greeting") == b"good night"
    assert b"api" in shop.ask("/goods/anything")
    run = shop.play("rollback")
    assert run.rc == 0, run.output[-6000:]
    assert shop.current()["id"] == one and one in run.output
    shop.well(first)
    assert shop.ask("/greeting") == greeting
    assert b"web" in shop.ask("/goods/anything"), "the route of the later release is still there"
    now = shop.sh("cat /etc/landfall/edge/stacks/shop.json")
    strip = re.compile(r"shop-(api|web)-\d+")
    assert strip.sub("", now) == strip.sub("", routes)
    assert shop.current()["compose_files"] == ["compose.yaml"]
    # To a named one, which is the later of the two.
    run = shop.play("rollback", release=two)
    assert run.rc == 0, run.output[-6000:]
    assert shop.current()["id"] == two
    shop.well(second)
    assert shop.ask("/greeting") == b"good night"
    # And to one that is not kept.
    before = shop.fingerprint()
    run = shop.play("rollback", release="20200101T000000Z-00000000")
    text = " ".join(run.output.split())
    assert run.rc != 0 and "20200101T000000Z-00000000 is not kept on this host" in text
    assert one in text and two in text, "the kept releases are not named"
    assert shop.fingerprint() == before


# -- bad releases -----------------------------------------------------------------------------------------------------

NO_HEALTHCHECK = """
services:
  api: {healthcheck: {disable: true}, x-landfall: {rollout: {deadline: 8s}}}
  web: {healthcheck: {disable: true}, x-landfall: {rollout: {deadline: 8s}}}
"""


def test_an_image_that_is_not_there_changes_nothing(shop, served):
    version, before = shop.base(), shop.fingerprint()
    run = shop.fails(MISSING, f"shop-app:{MISSING}", "does not exist in registry", "nothing was changed", "Remedy")
    assert shop.fingerprint() == before, run.output[-2000:]
    # The registry is not asked before: the engine finds out by itself.
    words = (f"shop-app:{MISSING} cannot be pulled", "Nothing was changed", "Check its name and tag")
    run = shop.fails(MISSING, *words, preflight_skip=["registry"])
    assert shop.fingerprint() == before, run.output[-2000:]
    shop.well(version, failed=shop.releases()[-1]["id"])


@pytest.mark.parametrize(
    ("fault", "over", "words", "log"),
    [
        ("start", "", ["api", "exited with code 1", "no catalogue, giving up"], "shop: no catalogue, giving up"),
        ("health", "", ["api", "healthcheck", "the shop is closed"], "shop: api 7-health"),
        ("closed", NO_HEALTHCHECK, ["api", "8000", "not well after 8 s"], "shop: api 7-closed"),
    ],
    ids=["start", "health", "closed"],
)
def test_bad_releases_go_back(shop, served, fault, over, words, log):
    """Cases 2 and 7: the gates hold, no old container is touched, and the evidence lies where it is said to be."""
    version, before, current = shop.base(), shop.ids(), shop.current()["id"]
    run = shop.fails(f"7-{fault}", *words, f"Rolled back to release {current}", log, over=over)
    assert shop.ids() == before, "an old container was touched, or a new one was left"
    assert shop.current()["id"] == current
    failed = shop.releases()[-1]
    shop.well(version, failed=failed["id"])
    assert failed["outcome"] == "failed" and failed["version"] == f"7-{fault}"
    path = f"/opt/landfall/shop/releases/{failed['id']}/evidence.json"
    assert path in " ".join(run.output.split())
    evidence = json.loads(shop.sh(f"cat {path}"))
    assert any(log in line for one in evidence["containers"] for line in one["log"]), evidence
    assert set(served.versions()) == {version}


@pytest.mark.parametrize("fault", ["errors", "crash"])
def test_a_version_that_is_well_and_serves_badly_goes_back(shop, fault):
    """Passes its gates; what its users get, or its end, takes it back within the bake time."""
    version = shop.base()
    line = shop.host.journal_length()
    words = {"errors": ["requests failed", "allowed 5.0%"], "crash": ["after the switch", "restarted"]}[fault]
    with shop.load() as load:
        shop.fails(f"7-{fault}", *words, "Rolled back to release")
        after = time.time()
        time.sleep(2)
    journal = shop.host.journal(line)
    at = {entry["step"]: entry["epoch"] for entry in journal}
    assert at["rolled back"] - at["baked"] <= LATE_S, "it was not the bake that found out"
    assert not load.failed(since=after), load.failed(since=after)
    assert set(load.versions(since=after + 0.5)) == {version}
    shop.well(version, failed=shop.releases()[-1]["id"])
    evidence = json.loads(shop.sh(f"cat /opt/landfall/shop/releases/{shop.releases()[-1]['id']}/evidence.json"))
    if fault == "errors":
        assert evidence["requests"] and all(one["status"] >= 500 for one in evidence["requests"])
        assert {one["path"] for one in evidence["requests"]} <= {"/ping", "/echo", "/call", "/api/ping"}
    else:
        assert any("segmentation of faults" in text for one in evidence["containers"] for text in one["log"])


# -- hooks ------------------------------------------------------------------------------------------------------------


def test_a_failing_migration_leaves_the_old_release_alone(shop, served):
    version, before = shop.base(), shop.ids()
    run = shop.fails("7-migration", "hook migrate", "exit code 7", 'column "colour" already exists', "Rolled back")
    assert shop.ids() == before, run.output[-2000:]
    shop.well(version, failed=shop.releases()[-1]["id"])


def test_a_migration_runs_once_though_the_engine_is_killed_in_it(shop, served):
    """Case 8: the run that comes after finds the migration under way, waits for it, and runs no second one."""
    version = shop.next()
    with shop.watched() as story:
        with shop.killed("hook migrate", later=1.5):
            assert shop.deploy(version, check=False, env={"MIGRATION_S": "6"}).rc != 0
        shop.deploy(version, env={"MIGRATION_S": "6"})
    runs = [name for what, name in story if what == "start" and "migrate" in name]
    assert len(runs) == 1, runs
    shop.well(version)


# -- ends that nobody planned -----------------------------------------------------------------------------------------


# The bench's long form kills at every step.
KILLS = ["created", "wave 1 started", "wave 1 switched", "stopping"]
KILLS += ["wave 2 started", "draining", "switched current"] if os.environ.get("LANDFALL_LONG") else []


@pytest.mark.parametrize("step", KILLS)
def test_killed_and_run_again(shop, served, step):
    """Case 8: kill -9 of the engine, the same command again: what was wanted runs, once, and nothing else is there."""
    version = shop.next()
    with shop.killed(step):
        killed = shop.deploy(version, check=False)
    assert killed.rc != 0, killed.output[-2000:]
    shop.deploy(version)
    shop.well(version)
    assert shop.current()["version"] == version
    pending = [one["id"] for one in shop.releases() if one["outcome"] == "pending"]
    assert not pending, f"releases left pending: {pending}"


def test_ctrl_c_goes_back_by_itself(shop, served):
    """The operator's Ctrl-C while the gates are watched: no process is left to report to, and all goes back."""
    version, before = shop.base(), shop.ids()
    line = shop.host.journal_length()
    play = shop.start("deploy", version=shop.next(), env={"HEALTHY_FOR": "60s"})
    shop.host.wait_for_step("wave 1 gated", line, 120)
    time.sleep(1)
    began = time.monotonic()
    play.ctrl_c()
    assert play.wait(30).rc != 0
    wait_for("the way back", lambda: "failed" in shop.steps(line) and not shop.held(), 30)
    print(f"went back within {time.monotonic() - began:.1f} s")
    failed = [entry for entry in shop.host.journal(line) if entry["step"] == "failed"]
    assert "interrupted" in failed[-1]["detail"]["message"], failed
    assert shop.ids() == before
    shop.well(version, failed=failed[-1]["release"])


def test_two_deploys_at_once(shop, served):
    """Case 9: the second is refused with the holder's name when it will not wait, and waits when it will."""
    version = shop.next()
    third = next(one for one in shop_ground.GOOD if one not in (version, shop.current()["version"]))
    line = shop.host.journal_length()
    first = shop.start("deploy", version=version, env={"HEALTHY_FOR": "12s"}, stack_who="alice@laptop")
    shop.host.wait_for_step("created", line, 120)
    waiting = shop.start("deploy", version=third, stack_lock_timeout=120, stack_who="carol@laptop")
    refused = shop.deploy(third, check=False, stack_lock_timeout=1, stack_who="bob@laptop")
    assert refused.rc != 0 and "alice@laptop" in refused.output, refused.output[-3000:]
    for play in (first, waiting):
        done = play.wait()
        assert done.rc == 0, done.output[-4000:]
    order = [entry["release"] for entry in shop.host.journal(line) if entry["step"] != "written"]
    assert len([1 for one, other in itertools.pairwise(order) if one != other]) <= 1, "they ran interleaved"
    shop.well(third)
    assert shop.current()["who"] == "carol@laptop"


def test_reboot_in_the_middle(shop):
    """Cases 5 and 8: a power cut between two steps. The gap is the machine's; the state afterwards is not."""
    before = shop.base()
    version = shop.next()
    line = shop.host.journal_length()
    play = shop.start("deploy", version=version)
    shop.host.wait_for_step("wave 1 switched", line, 120)
    shop.lab.reboot()
    assert play.wait(300).rc != 0
    wait_for("dockerd", lambda: shop.sh("docker info -f '{{.ID}}' 2>/dev/null", check=False).strip(), 60)
    wait_for("the shop", lambda: _answers(shop), 90, 1)
    # Without a hand: what ran before the deploy runs again, alone.
    shop.host.wait_for_step("restored", line, 180)
    last = shop.releases()[-1]
    shop.well(before, failed=last["id"] if last["outcome"] == "failed" else "")
    with shop.load() as load:
        shop.deploy(version)
    assert not load.failed(), load.failed()
    shop.well(version)


def test_addresses_that_change_places(shop):
    """Case 5: containers come back with each other's addresses; edge and relay follow the names, not the addresses."""
    shop.base()
    where = "docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "
    pair = sorted(shop.ids())[::2]
    assert ["api" in pair[0], "web" in pair[1]] == [True, True]
    # Docker gives the lowest address that is free. The first time that may be one of a container that is gone; the
    # second time, in the other order, only the two that the pair had are lower than what is taken.
    for first, second in (pair[::-1], pair):
        before = [shop.sh(where + name).split() for name in pair]
        shop.sh(f"docker stop -t 3 {' '.join(pair)} && docker start {first} && docker start {second}")
        after = [shop.sh(where + name).split() for name in pair]
        wait_for("both services", lambda: _answers(shop), 30)
        shop.host.settle(str(shop.current()["version"]), shop.replicas, 20)
        if set(after[0]) & set(before[1]) or set(after[1]) & set(before[0]):
            break
    else:
        raise AssertionError(f"nobody moved: {before} {after}")
    with shop.load(get_new=20, get_api=20) as load:
        time.sleep(4)
    assert not load.failed(), load.failed()
    for _ in range(20):
        assert b"api" in shop.ask("/api/who") and b"web" in shop.ask("/who")


def _answers(shop) -> bool:
    try:
        return b"web" in shop.ask("/anything") and b"api" in shop.ask("/api/anything")
    except Exception:
        return False


# -- strategies -------------------------------------------------------------------------------------------------------

KEEPER = """
services:
  keeper:
    image: ${REGISTRY}/shop-app:${VERSION}
    container_name: shop-keeper
    restart: unless-stopped
    environment: {SERVICE: keeper}
    ports: ["127.0.0.1:7700:8000"]
    volumes: ["keeper:/data"]
    healthcheck: {test: [CMD, python3, -IS, /app/check.py], interval: 2s, timeout: 5s, start_period: 4s}
    x-landfall: {rollout: {bake: 0s}}
volumes: {keeper: {}}
"""


def test_what_cannot_run_twice_is_stopped_first_and_what_is_removed_goes(shop, served):
    """Case 11: said aloud with its reasons, done in that order; then taken out of the project, and gone."""
    one = shop.next()
    shop.deploy(one, over=KEEPER)
    shop.replicas["keeper"] = 1
    shop.well(one)
    two = shop.next()
    with shop.watched() as story:
        run = shop.deploy(two, over=KEEPER)
    said = " ".join(run.output.split())
    for word in (
        "keeper: stopped first, since container_name shop-keeper can be had by one container only",
        "host port 7700 can be bound by one container only",
        "volume keeper is written by one instance at a time",
    ):
        assert word in said, run.output[-3000:]
    shop.well(two)
    mine = [what for what, name in story if name.endswith("shop-keeper")]
    assert mine == ["die", "start"], story
    # Without it in the project, and with three of web: the two that run stay as they are.
    before = {name: what for name, what in shop.ids().items() if "web" in name}
    run = shop.deploy(two, over="services: {web: {deploy: {replicas: 3}}}")
    assert "removed: keeper" in " ".join(run.output.split())
    shop.replicas = {"api": 2, "web": 3}
    shop.well(two)
    assert before.items() <= shop.ids().items(), "a container was replaced for another number of them"
    shop.deploy(two, over="services: {web: {deploy: {replicas: 1}}}")
    shop.replicas["web"] = 1
    shop.well(two)
    left = {name: what for name, what in shop.ids().items() if "web" in name}
    assert left.items() <= before.items(), "the youngest go first"


def test_canary_in_two_steps(shop, served):
    old = shop.base()
    version, line = shop.next(), shop.host.journal_length()
    over = "services: {web: {x-landfall: {rollout: {strategy: canary, steps: [50, 100], hold: 4s}}}}"
    shop.deploy(version, over=over)
    steps = [entry for entry in shop.host.journal(line) if entry["step"] == "wave 2 canary"]
    assert [entry["detail"]["percent"] for entry in steps][:2] == [50, 100]
    begin, end = steps[0]["epoch"] + 1, steps[1]["epoch"]
    assert end - begin >= 2, "the step was not held"
    shares = served.versions(begin, end, "get_new") + served.versions(begin, end, "get_keep")
    share = shares[version] / max(sum(shares.values()), 1)
    assert 0.25 < share < 0.75 and shares[old], f"{shares}"
    shop.well(version)


def test_blue_green_goes_back_without_a_start(shop, served):
    blue = shop.base()
    green = shop.next()
    rollout = "{x-landfall: {rollout: {strategy: blue-green}}}"
    over = f"services: {{api: {rollout}, web: {rollout}}}"
    before = shop.ids()
    shop.deploy(green, over=over)
    assert before.items() <= shop.ids().items(), "the old ones are not kept warm"
    assert set(served.versions(since=time.time() - 0.5)) <= {green}
    with shop.watched() as story:
        run = shop.play("rollback")
    assert run.rc == 0, run.output[-4000:]
    assert [name for what, name in story if what == "start"] == []
    assert before.items() <= shop.ids().items()
    wait_for("blue again", lambda: set(served.versions(since=time.time() - 0.5)) == {blue}, 10)
    assert shop.troubles() == []
    shop.deploy(shop.next())
    shop.well(str(shop.current()["version"]))


# -- several hosts ----------------------------------------------------------------------------------------------------


def test_all_hosts_or_none(shop, second, served):
    """Case 10: the second of two hosts cannot: the first goes back too, the play says who failed, both are equal."""
    old = shop.base()
    if second.current()["version"] != old:
        second.deploy(old, landfall_hosts="second")
    version = shop.next()
    second.sh(f"docker rmi -f {shop_ground.REGISTRY}/shop-app:{version}", check=False)
    release = shop.current()["id"]
    line = shop.host.journal_length()
    play = shop.start("deploy", version=version, landfall_hosts="embedded:second")
    try:
        # The registry goes away for the second host while the first one rolls.
        shop.host.wait_for_step("wave 1 started", line, 120)
        second.sh("cp /etc/hosts /root/hosts && echo '127.0.0.9 registry.landfall.test' >> /etc/hosts")
        run = play.wait()
    finally:
        second.sh("cat /root/hosts > /etc/hosts", check=False)
    assert run.rc != 0, run.output[-3000:]
    said = " ".join(run.output.split())
    assert "The deployment failed on second; this host went back to what it had" in said, run.output[-4000:]
    assert f"shop-app:{version} cannot be pulled" in said and "Nothing was changed" in said
    assert run.recap["second"]["failed"] and run.recap["embedded"]["failed"]
    assert shop.current()["id"] == release
    shop.well(old)
    second.well(old, failed=second.releases()[-1]["id"])
    # The cause is mended: both get it, and one migrates only.
    with shop.watched() as here, second.watched() as there:
        shop.deploy(version, landfall_hosts="embedded:second")
    for host, story, runs in ((shop, here, 1), (second, there, 0)):
        host.well(version)
        assert len([name for what, name in story if what == "start" and "migrate" in name]) == runs, story
    # Back, named by the version: ids differ from host to host. Where one host cannot, none does.
    with second.busy("dave@laptop"):
        run = shop.play("rollback", release=old, landfall_hosts="embedded:second", stack_lock_timeout=1)
    said = " ".join(run.output.split())
    assert run.rc != 0 and "dave@laptop" in said, run.output[-3000:]
    assert "The rollback failed on second; this host has again what it had" in said, run.output[-3000:]
    for host in (shop, second):
        host.well(version)
    run = shop.play("rollback", release=old, landfall_hosts="embedded:second")
    assert run.rc == 0, run.output[-4000:]
    for host in (shop, second):
        host.well(old)


def test_a_host_that_is_lost_in_the_middle(shop, second, served):
    """Case 10: the second host loses its power while the first one rolls; the first goes back to what it had."""
    old = shop.base()
    version, line = shop.next(), shop.host.journal_length()
    play = shop.start("deploy", version=version, landfall_hosts="embedded:second")
    shop.host.wait_for_step("wave 1 started", line, 120)
    docker("stop", "-t", "1", second.host.container)
    try:
        run = play.wait()
        assert run.rc != 0, run.output[-3000:]
        said = " ".join(run.output.split())
        assert "The deployment failed on second; this host went back to what it had" in said, run.output[-4000:]
        shop.well(old)
    finally:
        docker("start", second.host.container)


def test_no_secret_came_out(shop, processes):
    """What deploys, rollbacks and their evidence say."""
    assert leaks(shop.site, secrets_of(shop.site), processes) == []
