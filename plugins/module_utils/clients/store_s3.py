# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An S3 bucket as a store of backups, by boto3 as old as Ubuntu 22.04 has it, against any S3-compatible server."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from ..backup.config import S3Config
from ..backup.ports import Blob, Denied, Entry, Exists, Missing, Place, StoreError, Upload

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    BOTO_ERROR = ""
except ImportError as problem:  # said by the first store that is opened
    boto3 = None
    BotoCoreError = ClientError = OSError
    BOTO_ERROR = str(problem)

#: Attempts of one request, with growing pauses between them.
ATTEMPTS = 6
CHUNK = 1 << 20
_DENIED = {
    "AccessDenied": "this credential may not do that",
    "AllAccessDisabled": "the bucket is locked",
    "ExpiredToken": "the session's token has run out",
    "InvalidAccessKeyId": "the access key is not known there",
    "RequestTimeTooSkewed": "this host's clock is wrong; look at timedatectl",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "403": "the credential is refused",
}


def _boto_config(path_style: bool) -> Any:
    common: dict[str, Any] = {
        "signature_version": "s3v4",
        "s3": {"addressing_style": "path" if path_style else "auto"},
        "retries": {"mode": "standard", "max_attempts": ATTEMPTS},
        "connect_timeout": 10,
        "read_timeout": 60,
        "max_pool_connections": 8,
        "user_agent_extra": "landfall-backup",
    }
    try:
        # The checksums that newer versions add by default break S3-compatible stores; each part has its MD5 here.
        return Config(
            **common, request_checksum_calculation="when_required", response_checksum_validation="when_required"
        )
    except TypeError:
        return Config(**common)


class S3Store:
    """See :class:`..backup.ports.Store`. :raises StoreError: boto3 is not installed"""

    credentials = True

    def __init__(self, config: S3Config, name: str = "s3") -> None:
        if boto3 is None:
            raise StoreError(f"python3-boto3 is not installed on this host ({BOTO_ERROR})")
        self.name = name
        self._c = config
        self._root = f"{config.prefix.strip('/')}/" if config.prefix.strip("/") else ""
        self._condition = threading.local()
        self._s3 = self._client(config.access_key, config.secret_key, config.session_token)
        self._deleter: Any = None
        self._s3.meta.events.register("before-call.s3.PutObject", self._add_condition)

    def _client(self, access_key: str, secret_key: str, token: str) -> Any:
        given = {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key} if access_key else {}
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self._c.endpoint or None,
            region_name=self._c.region or "us-east-1",
            verify=self._c.ca_file or None,
            config=_boto_config(self._c.path_style),
            aws_session_token=token or None,
            **given,
        )

    def _add_condition(self, params: dict[str, Any], **_unused: Any) -> None:
        # As a header: older versions do not know the parameter.
        params["headers"].update(getattr(self._condition, "headers", {}))

    def _put_options(self) -> dict[str, str]:
        pairs = {
            "ServerSideEncryption": self._c.sse,
            "SSEKMSKeyId": self._c.kms_key,
            "StorageClass": self._c.storage_class,
        }
        return {key: value for key, value in pairs.items() if value}

    def _call(self, what: str, function: Callable[..., Any], **args: Any) -> Any:
        try:
            return function(Bucket=self._c.bucket, **args)
        except (ClientError, BotoCoreError, OSError) as problem:
            raise self._error(what, problem) from problem

    def _error(self, what: str, problem: Exception) -> StoreError:
        where = f"store {self.name} (bucket {self._c.bucket}): {what}"
        error = getattr(problem, "response", {}).get("Error", {})
        code = str(error.get("Code", ""))
        status = getattr(problem, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == 412 or code in ("PreconditionFailed", "ConditionalRequestConflict"):
            return Exists(f"{where}: it is there already, or was changed meanwhile")
        if code == "NoSuchBucket":
            return Missing(f"{where}: there is no such bucket; create it, or correct its name")
        if code in ("NoSuchKey", "NoSuchUpload", "404") or status == 404:
            return Missing(f"{where}: not found")
        if code in _DENIED or status == 403:
            said = _DENIED.get(code, "the credential is refused")
            return Denied(f"{where}: {said} ({code}: {error.get('Message', '')})")
        return StoreError(f"{where}: {type(problem).__name__}: {problem}")

    def list(self, prefix: str) -> Sequence[Entry]:
        full = self._root + prefix
        try:
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._c.bucket, Prefix=full)
            return [
                Entry(one["Key"][len(self._root) :], one["Size"], one["LastModified"].timestamp(), one.get("ETag", ""))
                for page in pages
                for one in page.get("Contents", ())
                if one["Key"].startswith(full)
            ]
        except (ClientError, BotoCoreError, OSError) as problem:
            raise self._error(f"listing {full}", problem) from problem

    def get(self, key: str) -> Blob:
        answer = self._call(f"reading {key}", self._s3.get_object, Key=self._root + key)
        try:
            data = answer["Body"].read()
        except (BotoCoreError, OSError) as problem:
            raise self._error(f"reading {key}", problem) from problem
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        now = parsedate_to_datetime(date).timestamp() if date else time.time()
        return Blob(data, answer["ETag"], answer["LastModified"].timestamp(), now)

    def read(self, key: str) -> Iterator[bytes]:
        at, tag, tries = 0, "", 0
        while True:
            more = {"Range": f"bytes={at}-", "IfMatch": tag} if at else {}
            answer = self._call(f"reading {key}", self._s3.get_object, Key=self._root + key, **more)
            end = at + int(answer["ContentLength"])
            tag = answer["ETag"]
            try:
                for chunk in answer["Body"].iter_chunks(CHUNK):
                    at += len(chunk)
                    tries = 0
                    yield chunk
            except (BotoCoreError, OSError) as problem:
                broken: Exception | None = problem
            else:
                broken = None
            if at >= end:
                return
            tries += 1
            if tries >= ATTEMPTS:
                raise StoreError(f"store {self.name}: {key} breaks off at byte {at} of {end}: {broken}")
            time.sleep(min(0.2 * 2**tries, 5))

    def put(self, key: str, data: bytes, absent: bool = False, match: str = "") -> None:
        self._condition.headers = {"If-None-Match": "*"} if absent else {"If-Match": match} if match else {}
        try:
            answer = self._call(
                f"writing {key}",
                self._s3.put_object,
                Key=self._root + key,
                Body=data,
                ContentMD5=b64encode(hashlib.md5(data).digest()).decode(),
                **self._put_options(),
            )
            self._encrypted(key, answer)
        except Exists:
            # The first answer may have been lost, and this is the retry's.
            if self.get(key).data != data:
                raise
        finally:
            self._condition.headers = {}

    def _encrypted(self, key: str, answer: dict[str, Any]) -> None:
        """A server that does not know of encryption passes it over, and says nothing. :raises StoreError: it did"""
        said = str(answer.get("ServerSideEncryption", ""))
        if self._c.sse and said != self._c.sse:
            raise StoreError(
                f"store {self.name} (bucket {self._c.bucket}): {key} is not encrypted as asked for: {self._c.sse}, not "
                f"{said or 'at all'}. Take a store that can, or leave sse out: what is secret is encrypted here anyway"
            )

    def upload(self, key: str) -> Upload:
        made = self._call(
            f"beginning {key}", self._s3.create_multipart_upload, Key=self._root + key, **self._put_options()
        )
        return S3Upload(self, key, str(made["UploadId"]))

    def _uploads(self, prefix: str) -> Sequence[tuple[str, str]]:
        full = self._root + prefix
        try:
            pages = self._s3.get_paginator("list_multipart_uploads").paginate(Bucket=self._c.bucket, Prefix=full)
            return [
                (one["Key"], one["UploadId"])
                for page in pages
                for one in page.get("Uploads") or ()
                if one["Key"].startswith(full)
            ]
        except (ClientError, BotoCoreError, OSError) as problem:
            raise self._error(f"listing uploads below {full}", problem) from problem

    def orphans(self, prefix: str) -> Sequence[str]:
        return [key[len(self._root) :] for key, _id in self._uploads(prefix)]

    def abort_orphans(self, prefix: str) -> int:
        found = self._uploads(prefix)
        for key, upload in found:
            with contextlib.suppress(Missing):
                self._call(f"aborting {key}", self._s3.abort_multipart_upload, Key=key, UploadId=upload)
        return len(found)

    def place(self, prefix: str, deleting: bool = False) -> Place:
        if deleting:
            self._need_deleter()
        c, more = self._c, ("delete_" if deleting else "")
        pairs = {
            "AWS_ACCESS_KEY_ID": getattr(c, f"{more}access_key"),
            "AWS_SECRET_ACCESS_KEY": getattr(c, f"{more}secret_key"),
            "AWS_SESSION_TOKEN": "" if deleting else c.session_token,
            "AWS_DEFAULT_REGION": c.region or "us-east-1",
        }
        endpoint = c.endpoint or (f"https://s3.{c.region}.amazonaws.com" if c.region else "https://s3.amazonaws.com")
        options = ["-o", "s3.bucket-lookup=path"] if c.path_style else []
        options += ["-o", f"s3.storage-class={c.storage_class}"] if c.storage_class else []
        options += ["--cacert", c.ca_file] if c.ca_file else []
        url = f"s3:{endpoint.rstrip('/')}/{c.bucket}/{self._root}{prefix.rstrip('/')}"
        return Place(url, {name: value for name, value in pairs.items() if value}, tuple(options))

    def _need_deleter(self) -> None:
        if not self._c.delete_access_key:
            raise Denied(f"store {self.name}: no credential for deletion is configured; nothing was deleted")

    def delete(self, key: str) -> None:
        self._need_deleter()
        self._deleter = self._deleter or self._client(self._c.delete_access_key, self._c.delete_secret_key, "")
        self._call(f"deleting {key}", self._deleter.delete_object, Key=self._root + key)

    def uploader_deletes(self, key: str, versions: bool = True) -> bool:
        """Write an object and try to delete it with the credential that writes: the version itself, where there is one.

        :raises StoreError: it could not be tried
        """
        self.put(key, b"written by a drill, which tries to delete it\n")
        version = self._call(f"looking at {key}", self._s3.head_object, Key=self._root + key).get("VersionId")
        try:
            self._call(
                f"deleting {key}",
                self._s3.delete_object,
                Key=self._root + key,
                **({"VersionId": version} if versions and version and version != "null" else {}),
            )
        except Denied:
            return False
        return True


class S3Upload:
    """A multipart upload."""

    def __init__(self, store: S3Store, key: str, upload_id: str) -> None:
        self._store = store
        self._key = key
        self._where = {"Key": store._root + key, "UploadId": upload_id}
        self._parts: dict[int, tuple[str, int]] = {}

    def part(self, number: int, offset: int, data: bytearray) -> None:
        answer = self._store._call(
            f"sending part {number} of {self._key}",
            self._store._s3.upload_part,
            PartNumber=number,
            Body=data,
            ContentMD5=b64encode(hashlib.md5(data).digest()).decode(),
            **self._where,
        )
        self._parts[number] = (answer["ETag"], len(data))

    def complete(self) -> None:
        parts = [{"PartNumber": number, "ETag": self._parts[number][0]} for number in sorted(self._parts)]
        what = f"completing {self._key}"
        # A retry finds no such upload when the first answer was lost; the object's size tells.
        with contextlib.suppress(Missing):
            self._store._call(
                what, self._store._s3.complete_multipart_upload, MultipartUpload={"Parts": parts}, **self._where
            )
        head = self._store._call(f"looking at {self._key}", self._store._s3.head_object, Key=self._where["Key"])
        sent = sum(size for _tag, size in self._parts.values())
        if int(head["ContentLength"]) != sent:
            raise StoreError(
                f"store {self._store.name}: {what}: {head['ContentLength']} bytes are there, {sent} were sent"
            )
        # Not all servers say it when an upload is begun.
        self._store._encrypted(self._key, head)

    def abort(self) -> None:
        with contextlib.suppress(StoreError):
            self._store._call(f"aborting {self._key}", self._store._s3.abort_multipart_upload, **self._where)
