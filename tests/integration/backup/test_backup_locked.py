"""A bucket with Object Lock: what is locked cannot be deleted, by nobody's credential."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from .ground import Ground


def test_a_locked_set_cannot_be_deleted(ground: Ground, s3):
    client = s3.client()
    client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    client.put_object_lock_configuration(
        Bucket="locked",
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
        },
    )  # fmt: skip
    ground.s3 = replace(ground.s3, bucket="locked", endpoint=s3.url)
    ground.sources = [{"kind": "path", "name": "uploads", "where": str(ground.uploads)}]
    ground.configure(retention={"daily": 1, "weekly": 0, "monthly": 0, "minimum": 1})
    ground.good("run")
    (first,) = [one["id"] for one in ground.sets()]

    # Each version of each object, with the credential that may delete.
    versions = client.list_object_versions(Bucket="locked", Prefix=f"backups/app/{first}/")["Versions"]
    assert len(versions) >= 3
    for one in versions:
        with pytest.raises(ClientError, match=r"AccessDenied|Forbidden|retention|WORM|locked"):
            client.delete_object(Bucket="locked", Key=one["Key"], VersionId=one["VersionId"])

    # The uploader has the right to delete, and a drill sees that it is of no use to it.
    done = ground.do("drill", "--json")
    record = json.loads(done.out)
    assert done.rc == 0 and record["good"], done.said
    assert {one["name"]: one["detail"] for one in record["rungs"]}["deletion"] == "refused, as it should be"

    # Pruning hides the set, and deletes nothing of it: it is there again when what hides it is taken away.
    ground.good("run")
    ground.good("prune")
    assert first not in [one["id"] for one in ground.sets()]
    listed = client.list_object_versions(Bucket="locked", Prefix=f"backups/app/{first}/")
    assert {(one["Key"], one["VersionId"]) for one in versions} <= {
        (one["Key"], one["VersionId"]) for one in listed["Versions"]
    }
    for one in listed["DeleteMarkers"]:
        client.delete_object(Bucket="locked", Key=one["Key"], VersionId=one["VersionId"])
    ground.good("restore", "--set", first, "--item", "path-uploads", "--as", str(ground.root / "back"))
    assert len(list((ground.root / "back").iterdir())) == 20
