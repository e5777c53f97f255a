"""Certificates of a real ACME CA lie where nginx reads them, for its uid alone, and a timer renews them."""

from __future__ import annotations

import pytest

CERTS = "/etc/landfall/edge/certs"


@pytest.mark.parametrize(("name", "domains"), [("shop", ["shop.site.test", "www.shop.site.test"]),
                                               ("blog", ["blog.site.test"])])  # fmt: skip
def test_issued_by_the_ca_for_all_names(host, name, domains):
    text = host.check_output(f"openssl x509 -in {CERTS}/{name}/fullchain.pem -noout -issuer -ext subjectAltName")
    assert "Pebble" in text
    for domain in domains:
        assert f"DNS:{domain}" in text


def test_the_key_is_for_nginx_alone(host):
    key = host.file(f"{CERTS}/shop/privkey.pem")
    assert (key.uid, key.mode) == (101, 0o400)


def test_key_and_certificate_belong_together(host):
    public = host.check_output(f"openssl x509 -in {CERTS}/shop/fullchain.pem -noout -pubkey")
    assert public == host.check_output(f"openssl pkey -in {CERTS}/shop/privkey.pem -pubout")


def test_one_timer_renews(host):
    assert host.service("landfall-certificates.timer").is_running
    assert host.service("landfall-certificates.timer").is_enabled
    assert host.check_output("systemctl is-enabled certbot.timer || true") == "masked"


def test_the_timers_program_finds_nothing_due(host):
    done = host.run("systemctl start landfall-certificates.service && landfall certificates list")
    assert done.rc == 0, done.stderr
    assert done.stdout.count("keep: good for") == 2
