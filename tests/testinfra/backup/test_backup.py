"""What the role set up takes a set by the timer's own service, in two stores, and brings it back."""

from __future__ import annotations

import json

testinfra_hosts = ["ansible://backup-bookworm"]

BUCKET = """
import json, boto3
keys = json.load(open("/etc/landfall/backup/shop.s3.keys"))
store = json.load(open("/etc/landfall/backup/shop.json"))["stores"][1]
s3 = boto3.resource("s3", endpoint_url=store["endpoint"], region_name="us-east-1",
                    aws_access_key_id=keys["access_key"], aws_secret_access_key=keys["secret_key"])
bucket = s3.Bucket(store["bucket"])
if bucket in s3.buckets.all():
    # Of a run before this one, by another host with keys of its own.
    bucket.objects.delete()
else:
    bucket.create()
"""


def test_the_keys_are_for_root_alone(host):
    for name in ("shop.json", "shop.s3.keys"):
        assert host.file(f"/etc/landfall/backup/{name}").mode == 0o600
    assert host.file("/etc/landfall/backup/age.key").mode == 0o400
    config = host.file("/etc/landfall/backup/shop.json").content_string
    assert "landfall-lab-secret" not in config
    own = host.check_output("age-keygen -y /etc/landfall/backup/age.key")
    assert json.loads(config)["recipients"][0] == own


def test_the_timer_is_set_in_utc_and_catches_up(host):
    assert host.service("landfall-backup-shop.timer").is_running
    assert host.service("landfall-backup-shop.timer").is_enabled
    unit = host.file("/etc/systemd/system/landfall-backup-shop.timer").content_string
    assert "OnCalendar=*-*-* 02:30:00 UTC" in unit and "Persistent=true" in unit
    assert host.run("systemd-analyze verify /etc/systemd/system/landfall-backup-shop.service").rc == 0


def test_the_services_run_makes_a_verified_set_in_both_stores(host):
    assert host.run(f"python3 -c '{BUCKET}'").rc == 0
    done = host.run("systemctl start landfall-backup-shop.service")
    assert done.rc == 0, host.check_output("journalctl -u landfall-backup-shop.service --no-pager | tail -20")
    for store in ("disk", "s3"):
        (made,) = json.loads(host.check_output(f"landfall backup list shop --json --store {store}"))
        assert (made["state"], made["level"]) == ("verified", "decoded")
    log = host.check_output("journalctl -u landfall-backup-shop.service --no-pager")
    assert "landfall-lab-secret" not in log


def test_it_comes_back_from_the_second_store(host):
    host.run("rm -r /srv/back")
    done = host.run("landfall backup restore shop --store s3 --item path-srv-files --as /srv/back")
    assert done.rc == 0, done.stderr
    back = host.file("/srv/back/one")
    assert back.content_string == "one\n" and back.mode == 0o640


def test_a_drill_by_its_timers_service_on_a_host_without_docker(host):
    assert host.service("landfall-drill-shop.timer").is_running and host.service("landfall-drill-shop.timer").is_enabled
    unit = host.file("/etc/systemd/system/landfall-drill-shop.timer").content_string
    assert "OnCalendar=Sun *-*-* 04:30:00 UTC" in unit
    assert host.run("systemd-analyze verify /etc/systemd/system/landfall-drill-shop.service").rc == 0
    done = host.run("systemctl start landfall-drill-shop.service")
    log = host.check_output("journalctl -u landfall-drill-shop.service --no-pager | tail -30")
    assert done.rc == 0, log
    assert "passed          bytes" in log and "not applicable  server" in log
    (made,) = json.loads(host.check_output("landfall backup list shop --json"))
    assert made["drill"]["good"]
    assert not host.file("/var/lib/landfall/backup/shop/drill").exists
    # A set that somebody else changed: red, and what the service says of itself, too.
    host.check_output("mv /mnt/backups/shop /mnt/backups/away")
    try:
        assert host.run("systemctl start landfall-drill-shop.service").rc != 0
        assert "the last drill failed: set: shop has no set" in host.run("landfall backup list shop").stderr
    finally:
        host.check_output("mv /mnt/backups/away /mnt/backups/shop; systemctl reset-failed landfall-drill-shop.service")


def test_a_failed_run_fails_the_service(host):
    host.check_output("mv /mnt/backups /mnt/away")
    try:
        assert host.run("systemctl start landfall-backup-shop.service").rc != 0
    finally:
        host.check_output("mv /mnt/away /mnt/backups; systemctl reset-failed landfall-backup-shop.service")
