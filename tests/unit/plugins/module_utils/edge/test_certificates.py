from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.edge.certificates import (
    Observed,
    Wanted,
    certbot_argv,
    decide,
    describe,
    due,
    explain,
    render_list,
)

START = datetime(2026, 11, 1, tzinfo=timezone.utc)
SHOP = Wanted("shop", ("shop.example.com", "www.example.com"))


def observed(days: float = 90, names: tuple[str, ...] = SHOP.domains, self_signed: bool = False) -> Observed:
    return Observed(names, START, START + timedelta(days=days), self_signed, "Test CA")


@pytest.mark.parametrize(
    ("lifetime", "age", "expected"),
    [
        (timedelta(days=90), timedelta(days=59), False),
        (timedelta(days=90), timedelta(days=60), True),
        (timedelta(days=45), timedelta(days=29), False),
        (timedelta(days=45), timedelta(days=30), True),
        (timedelta(days=6), timedelta(days=3), False),  # "30 days before" would renew this one at every look
        (timedelta(days=6), timedelta(days=4), True),
        (timedelta(seconds=120), timedelta(seconds=79), False),
        (timedelta(seconds=120), timedelta(seconds=80), True),
        (timedelta(days=90), timedelta(days=200), True),
    ],
)
def test_due_at_a_third_of_any_lifetime(lifetime, age, expected):
    assert due(START, START + lifetime, START + age, 1 / 3) is expected


@pytest.mark.parametrize(
    ("have", "age_days", "action", "words"),
    [
        (None, 0, "issue", "none yet"),
        (observed(self_signed=True), 0, "issue", "placeholder"),
        (observed(), 1, "keep", "good for 89 days"),
        (observed(), 61, "renew", "29 days left of 90 days"),
        (observed(), 100, "renew", "expired"),
        (observed(names=("shop.example.com",)), 1, "issue", "lacks www.example.com"),
        (observed(names=(*SHOP.domains, "old.example.com")), 1, "issue", "still names old.example.com"),
    ],
)
def test_decide(have, age_days, action, words):
    step = decide(SHOP, have, START + timedelta(days=age_days))
    assert (step.action, words in step.reason) == (action, True), step


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"name": "../etc", "domains": ["a.example.com"]}, "certificate name"),
        ({"name": "shop", "domains": []}, "`domains` is empty"),
        ({"name": "shop", "domains": ["*.example.com"]}, "wildcards need a DNS challenge"),
        ({"name": "shop", "domains": ["no spaces.example.com"]}, "no host name"),
    ],
)
def test_bad_wishes_are_refused(value, words):
    with pytest.raises(ValueError, match=words.replace("*", r"\*")):
        Wanted.from_dict(value)


def test_names_are_normalised():
    assert Wanted.from_dict({"name": "a", "domains": ["Shop.Example.COM."]}).domains == ("shop.example.com",)


def test_one_command_for_issue_and_renewal():
    argv = certbot_argv(SHOP, directory="https://ca.test/dir", webroot="/www", email="ops@example.com")
    assert argv[:2] == ["certbot", "certonly"]
    assert [argv[i + 1] for i, word in enumerate(argv) if word == "--domain"] == list(SHOP.domains)
    assert argv[argv.index("--server") + 1] == "https://ca.test/dir"
    assert "--email" in argv and "--register-unsafely-without-email" not in argv
    assert "--register-unsafely-without-email" in certbot_argv(SHOP, directory="d", webroot="/www", email="")


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("Error: urn:ietf:params:acme:error:rateLimited :: too many certificates (5) already issued", "rate limit"),
        ("  Type:   dns\n  Detail: DNS problem: NXDOMAIN looking up A for x.test", "does not resolve"),
        ("  Type:   connection\n  Detail: 192.0.2.1: Fetching http://x.test/: Connection refused", "port 80"),
        (
            "  Type:   unauthorized\n  Detail: 192.0.2.1: Invalid response from http://x.test/.well-known: 404",
            "something else than this host",
        ),
        ("  Type:   caa\n  Detail: CAA record for x.test prevents issuance", "CAA"),
        ("urn:ietf:params:acme:error:rejectedIdentifier :: policy forbids issuing for x.test", "refuses to issue"),
        ("requests.exceptions.SSLError: CERTIFICATE_VERIFY_FAILED", "certificates_ca_bundle"),
        ("NewConnectionError: Failed to establish a new connection", "cannot be reached"),
        ("Another instance of Certbot is already running.", "another certbot"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("something nobody has seen\nAsk for help or search for solutions", "something nobody has seen"),
    ],
)
def test_failures_are_explained_with_a_remedy(output, words):
    assert words in explain(output)


def test_spans_read_like_speech():
    assert [describe(timedelta(seconds=s)) for s in (90, 150, 7300, 86400 * 3)] == [
        "90 seconds",
        "2 minutes",
        "2 hours",
        "3 days",
    ]


def test_list_shows_what_is_next():
    rows = [("shop", observed(), decide(SHOP, observed(), START)), ("new", None, decide(SHOP, None, START))]
    lines = render_list(rows)
    assert "keep: good for 90 days" in lines[1] and "issue: there is none yet" in lines[2]
