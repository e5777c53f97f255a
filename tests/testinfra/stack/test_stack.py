"""A little project as a release on the host, behind the edge, with a real certificate."""

from __future__ import annotations

import json

ROOT = "/opt/landfall/toy"


def test_the_release_is_whole_and_sealed(host):
    for name in ("compose.yaml", "compose.landfall.yaml", "env", "digests.json", "routes.json", "release.json"):
        assert host.file(f"{ROOT}/current/{name}").exists, name
    record = json.loads(host.file(f"{ROOT}/current/release.json").content_string)
    assert record["outcome"] == "sealed" and record["who"]


def test_the_secret_was_made_and_is_roots(host):
    secret = host.file(f"{ROOT}/secrets/TOKEN")
    assert (secret.user, secret.mode) == ("root", 0o400)
    assert len(secret.content_string.strip()) >= 32
    assert host.file(f"{ROOT}/current/env").mode == 0o600


def test_the_page_comes_through_tls(host):
    page = host.check_output("curl -sS --cacert /usr/local/share/lab-root.pem --resolve toy.site.test:443:127.0.0.1 "
                             "https://toy.site.test/")  # fmt: skip
    assert page == "<h1>toy</h1>"


def test_the_edge_has_no_rights_it_does_not_need(host):
    found = json.loads(host.check_output("docker inspect landfall-edge"))[0]
    settings = found["HostConfig"]
    assert settings["ReadonlyRootfs"] and settings["CapDrop"] == ["ALL"]
    assert any("no-new-privileges" in option for option in settings["SecurityOpt"])
    assert found["Config"]["User"].split(":")[0] == "101"


def test_status_says_all_is_well(host):
    text = host.check_output("landfall status")
    assert "toy" in text and "1/1" in text and "All well" in text


def test_what_a_power_cut_leaves_is_undone_at_boot(host):
    unit = host.service("landfall-recover")
    assert unit.is_enabled
    # Nothing was interrupted here: it ends well, and says so.
    assert host.run("systemctl start landfall-recover").rc == 0
    assert "nothing was interrupted" in host.check_output("journalctl -u landfall-recover -o cat")


def test_a_bad_configuration_never_replaces_a_good_one(host):
    """A broken routes file is refused, and the page still comes."""
    path = "/etc/landfall/edge/stacks/broken.json"
    before = host.check_output("readlink /etc/landfall/edge/current")
    host.run_expect([0], f"echo '{{' > {path}")
    try:
        done = host.run("landfall edge apply")
        assert done.rc != 0 and "broken.json" in done.stderr + done.stdout
        assert host.check_output("readlink /etc/landfall/edge/current") == before
    finally:
        host.run_expect([0], f"rm {path}")
    test_the_page_comes_through_tls(host)
