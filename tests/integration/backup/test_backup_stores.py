"""Both stores keep the same rules, on a real S3 server and on a real directory."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from dataclasses import replace

import pytest

from ansible_collections.landfall.stack.plugins.module_utils.backup.ports import (
    BackupError,
    Denied,
    Exists,
    Missing,
    StoreError,
)
from ansible_collections.landfall.stack.plugins.module_utils.clients.store_s3 import S3Store
from ansible_collections.landfall.stack.plugins.module_utils.clients.upload import Sender

MIB = 1 << 20


def pour(data: bytes) -> int:
    """A pipe that the bytes come out of."""
    read, write = os.pipe()

    def fill() -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(write, view) :]
        except BrokenPipeError:
            pass
        os.close(write)

    threading.Thread(target=fill, daemon=True).start()
    return read


def whole(store, objects) -> bytes:
    return b"".join(chunk for one in objects for chunk in store.read(one.key))


def test_conditional_writes_listing_and_deletion(store):
    store.put("app/lease.json", b"one", absent=True)
    store.put("app_staging/lease.json", b"other")
    with pytest.raises(Exists):
        store.put("app/lease.json", b"two", absent=True)
    first = store.get("app/lease.json")
    assert first.data == b"one" and abs(first.now - time.time()) < 5 and abs(first.modified - time.time()) < 5
    store.put("app/lease.json", b"three", match=first.tag)
    with pytest.raises(Exists):
        store.put("app/lease.json", b"four", match=first.tag)
    assert store.get("app/lease.json").data == b"three"
    assert [one.key for one in store.list("app/")] == ["app/lease.json"]
    store.delete("app/lease.json")
    assert list(store.list("app/")) == []
    assert [one.key for one in store.list("app_staging/")] == ["app_staging/lease.json"]
    with pytest.raises(Missing):
        store.get("app/lease.json")


def test_only_one_of_many_writes_if_absent(store):
    wins = []

    def attempt(number: int) -> None:
        try:
            store.put("app/once", b"%d" % number, absent=True)
            wins.append(number)
        except Exists:
            pass

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    [one.start() for one in threads]
    [one.join() for one in threads]
    assert len(wins) == 1
    assert store.get("app/once").data == b"%d" % wins[0]


def test_a_stream_is_invisible_until_complete_and_whole_then(store):
    data = os.urandom(21 * MIB + 17)
    sender = Sender(store, "app/set/item.{:03d}".format)
    sender.feed(pour(data))
    assert list(store.list("app/")) == []
    assert len(store.orphans("app/")) == 1
    objects = sender.complete()
    assert [(one.bytes, one.parts) for one in objects] == [(len(data), 3)]
    assert objects[0].sha256 == hashlib.sha256(data).hexdigest()
    assert whole(store, objects) == data
    assert list(store.orphans("app/")) == []


def test_more_parts_than_a_store_takes_become_segments(store):
    data = os.urandom(26 * MIB)
    sender = Sender(store, "app/set/item.{:03d}".format, parts=2, size=lambda number: 5 * MIB)
    sender.feed(pour(data))
    objects = sender.complete()
    assert [one.parts for one in objects] == [2, 2, 2]
    assert whole(store, objects) == data


def test_orphans_are_swept_and_only_ours(store):
    for stack in ("app", "app_staging"):
        Sender(store, (stack + "/set/item.{:03d}").format).feed(pour(b"x" * MIB))
    assert store.abort_orphans("app/") == 1
    assert list(store.orphans("app/")) == []
    assert len(store.orphans("app_staging/")) == 1


def test_the_rate_is_held(store):
    data = os.urandom(10 * MIB)
    began = time.monotonic()
    sender = Sender(store, "app/set/item.{:03d}".format, rate=8 * MIB)
    sender.feed(pour(data))
    assert 1.1 < time.monotonic() - began < 5
    sender.abort()
    assert list(store.list("app/")) == [] and list(store.orphans("app/")) == []


@pytest.mark.parametrize("fault", ["reset", "reset-late", "500", "503"])
@pytest.mark.parametrize("kind", ["part", "complete", "begin"])
def test_a_fault_that_passes_is_outlived(through, proxy, fault, kind):
    proxy.rule = lambda seen: fault if seen.kind == kind and seen.number in (1, 2) else None
    data = os.urandom(9 * MIB)
    sender = Sender(through, "app/set/item.{:03d}".format)
    sender.feed(pour(data))
    objects = sender.complete()
    assert whole(through, objects) == data
    assert sum(seen.kind == kind for seen in proxy.seen) >= 3


def test_a_reset_in_each_part(through, proxy):
    failed = set()

    def rule(seen):
        part = seen.query.get("partNumber", [""])[0]
        if seen.kind == "part" and part not in failed:
            failed.add(part)
            return "reset"
        return None

    proxy.rule = rule
    data = os.urandom(26 * MIB)
    sender = Sender(through, "app/set/item.{:03d}".format)
    sender.feed(pour(data))
    assert whole(through, sender.complete()) == data
    assert len(failed) == 4


def test_an_error_inside_a_200_is_an_error(through, proxy):
    proxy.rule = lambda seen: "error200" if seen.kind == "complete" else None
    sender = Sender(through, "app/set/item.{:03d}".format)
    sender.feed(pour(b"x" * MIB))
    with pytest.raises(StoreError):
        sender.complete()
    sender.abort()
    proxy.reset()
    assert list(through.list("app/")) == [] and list(through.orphans("app/")) == []


def test_a_fault_that_stays_ends_the_upload(through, proxy):
    proxy.rule = lambda seen: "503" if seen.kind == "part" else None
    sender = Sender(through, "app/set/item.{:03d}".format)
    with pytest.raises(BackupError):
        sender.feed(pour(os.urandom(2 * MIB)))
    sender.abort()
    proxy.reset()
    assert list(through.list("app/")) == [] and list(through.orphans("app/")) == []


def test_a_part_that_is_changed_on_its_way_is_refused_by_the_store(s3_config):
    store = S3Store(s3_config)
    upload = store.upload("app/set/item.000")
    real = store._s3.upload_part

    def changed(**args):
        args["Body"] = bytes(args["Body"][:-1]) + b"!"
        return real(**args)

    store._s3.upload_part = changed
    with pytest.raises(StoreError):
        upload.part(1, 0, bytearray(b"x" * 1000))
    upload.abort()


def test_reading_goes_on_where_it_broke_off(through, proxy):
    data = os.urandom(6 * MIB)
    sender = Sender(through, "app/set/item.{:03d}".format)
    sender.feed(pour(data))
    objects = sender.complete()
    proxy.rule = lambda seen: "cut" if seen.kind == "get" and seen.number <= 3 else None
    assert whole(through, objects) == data


def test_rights(s3_config, s3):
    store = S3Store(replace(s3_config, secret_key="wrong"))
    with pytest.raises(Denied, match="secret key is wrong"):
        store.list("app/")
    reader = S3Store(replace(s3_config, access_key="reader-key", secret_key="reader-secret"))
    with pytest.raises(Denied):
        reader.put("app/x", b"")
    with pytest.raises(Denied):
        reader.upload("app/x")
    with pytest.raises(Denied, match="no credential for deletion"):
        S3Store(replace(s3_config, delete_access_key="")).delete("app/x")
    with pytest.raises(Missing, match="no such bucket"):
        S3Store(replace(s3_config, bucket="nobody-has-this")).list("app/")
    with pytest.raises(StoreError):
        S3Store(replace(s3_config, endpoint="http://127.0.0.1:9")).list("app/")


def test_the_store_encrypts_as_asked_for(s3, s3_config, proxy):
    """AES256 on a server that can do it; every write asks for it, and the server says so of every object."""
    asked = S3Store(replace(s3_config, endpoint=proxy.url, sse="AES256"), "main")
    data = os.urandom(9 * MIB)
    asked.put("app/small", b"small")
    sender = Sender(asked, "app/set/item.{:03d}".format)
    sender.feed(pour(data))
    assert whole(asked, sender.complete()) == data and asked.get("app/small").data == b"small"
    begun = [one for one in proxy.seen if one.kind in ("put", "begin")]
    assert {one.kind for one in begun} == {"put", "begin"} and {one.sse for one in begun} == {("AES256", "")}
    for entry in asked.list("app/"):
        head = s3.client().head_object(Bucket=s3_config.bucket, Key=f"backups/{entry.key}")
        assert head["ServerSideEncryption"] == "AES256", entry


def test_a_key_of_kms_is_asked_for_and_a_refusal_is_told(s3_config, proxy):
    """SeaweedFS has no KMS: what is asked for is seen on the wire, and the refusal is the proxy's."""
    asked = S3Store(replace(s3_config, endpoint=proxy.url, sse="aws:kms", kms_key="alias/backups"), "main")
    proxy.rule = lambda seen: "403:KMS.DisabledException"
    for attempt in (lambda: asked.put("app/small", b"small"), lambda: asked.upload("app/big")):
        with pytest.raises(Denied, match=r"KMS\.DisabledException"):
            attempt()
    assert [(one.kind, one.sse) for one in proxy.seen] == [
        ("put", ("aws:kms", "alias/backups")),
        ("begin", ("aws:kms", "alias/backups")),
    ]


def test_a_store_that_passes_it_over_is_refused(s3_config, proxy):
    asked = S3Store(replace(s3_config, endpoint=proxy.url, sse="AES256"), "main")
    proxy.rule = lambda seen: "silent"
    sender = Sender(asked, "app/set/item.{:03d}".format)
    sender.feed(pour(b"x" * MIB))
    for attempt in (lambda: asked.put("app/small", b"small"), sender.complete):
        with pytest.raises(StoreError, match="not encrypted as asked for"):
            attempt()
