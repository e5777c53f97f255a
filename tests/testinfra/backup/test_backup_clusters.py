"""A server of the host that pgBackRest keeps: it archives, is backed up by its timers' services, and comes back."""

from __future__ import annotations

import json

testinfra_hosts = ["ansible://backup-trixie"]


def psql(host, statement, port=5432):
    return host.check_output(f'runuser -u postgres -- psql -p {port} -XAtqc "{statement}" postgres')


def kept(host):
    # Its exit code is 1 until there is a verified set, too.
    listed = json.loads(host.run("landfall backup list shop --json").stdout)
    return [one for one in listed if one.get("engine") == "pgbackrest"]


def test_the_server_archives_and_was_told_how(host):
    assert psql(host, "SHOW archive_mode") == "on" and psql(host, "SHOW archive_timeout") == "5min"
    conf = host.file("/etc/pgbackrest/landfall/shop-postgres-main.conf")
    assert (conf.mode, conf.user, conf.group) == (0o640, "root", "postgres")
    cipher = host.file("/etc/landfall/backup/shop.pgbackrest")
    assert (cipher.mode, cipher.user) == (0o400, "root")


def test_the_timers_are_set(host):
    for kind, when in (("archive", "*-*-* *:00/5:00 UTC"), ("base", "*-*-* 00/6:10:00 UTC"),
                       ("full", "Sun *-*-* 01:00:00 UTC")):  # fmt: skip
        timer = host.service(f"landfall-{kind}-shop.timer")
        assert timer.is_running and timer.is_enabled
        unit = host.file(f"/etc/systemd/system/landfall-{kind}-shop.timer").content_string
        assert f"OnCalendar={when}\n" in unit and "Persistent=true" in unit
        assert host.run(f"systemd-analyze verify /etc/systemd/system/landfall-{kind}-shop.service").rc == 0
    # Every five minutes, as systemd understands it.
    assert "00/5" in host.check_output("systemd-analyze calendar '*-*-* *:00/5:00 UTC'")


def test_the_services_take_a_full_backup_and_what_has_changed(host):
    psql(host, "CREATE TABLE IF NOT EXISTS named (id serial, name text)")
    psql(host, "INSERT INTO named (name) VALUES ('before')")
    before = len(kept(host))
    for unit in ("full", "base"):
        done = host.run(f"systemctl start landfall-{unit}-shop.service")
        assert done.rc == 0, host.check_output(f"journalctl -u landfall-{unit}-shop.service --no-pager | tail -20")
    assert len(kept(host)) == before + 2
    assert host.run("systemctl start landfall-archive-shop.service").rc == 0
    cipher = host.file("/etc/landfall/backup/shop.pgbackrest").content_string.strip()
    assert len(cipher) > 40 and cipher not in host.check_output("journalctl --no-pager -u 'landfall-*-shop.service'")


def test_a_moment_comes_back_beside(host):
    psql(host, "INSERT INTO named (name) VALUES ('wanted')")
    wanted = psql(host, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || 'Z'")
    psql(host, "INSERT INTO named (name) VALUES ('a mistake')")
    done = host.run(f"landfall backup restore shop --to-time '{wanted}' --as before_it")
    try:
        assert done.rc == 0, done.stdout + done.stderr
        port = host.check_output("pg_lsclusters -h | awk '$2 == \"before_it\" {print $3}'")
        assert psql(host, "SELECT name FROM named ORDER BY id", port).splitlines()[-1] == "wanted"
        assert psql(host, "SHOW archive_mode", port) == "off"
        assert psql(host, "SELECT name FROM named ORDER BY id").splitlines()[-1] == "a mistake"
    finally:
        host.run("pg_dropcluster --stop 17 before_it")


def test_an_archive_that_breaks_fails_the_service(host):
    host.check_output("mv /mnt/backups/shop.pgbackrest /mnt/away")
    try:
        assert host.run("systemctl start landfall-archive-shop.service").rc != 0
        assert host.run("landfall backup watch shop").rc == 1
    finally:
        host.check_output(
            "mv /mnt/away /mnt/backups/shop.pgbackrest; systemctl reset-failed landfall-archive-shop.service"
        )


def test_a_drill_brings_it_to_the_end_of_its_log(host):
    assert host.run("landfall backup run shop").rc == 0
    done = host.run("landfall backup drill shop --engine pgbackrest --json")
    assert done.rc == 0, done.stdout + done.stderr
    record = json.loads(done.stdout)
    assert record["good"] and record["cluster"] == "postgres-main" and record["rto"] > 0
    found = {one["name"]: one["detail"] for one in record["rungs"]}
    assert "without a network" in found["server"] and "indexes" in found["amcheck"]
    assert host.run("ls -d /var/lib/postgresql/17/landfall-drill-* /run/landfall-drill-*").rc != 0
    assert host.run("pgrep -f '[l]andfall-drill-'").rc != 0
