"""Files to S3 and back as any script would, by boto3's transfers: python -m bench.backup.s3 put|get PATH PREFIX"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3


def main(verb: str, path: str, prefix: str) -> int:
    s3 = boto3.session.Session().client("s3", endpoint_url=os.environ["S3_URL"], region_name="us-east-1")
    bucket, top = os.environ["S3_BUCKET"], Path(path)
    if verb == "put":
        files = [one for one in top.rglob("*") if one.is_file()] if top.is_dir() else [top]
        jobs = [(s3.upload_file, (str(one), bucket, f"{prefix}/{one.name}")) for one in files]
    else:
        top.mkdir(parents=True)
        keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/")["Contents"]]
        jobs = [(s3.download_file, (bucket, key, str(top / key.rpartition("/")[2]))) for key in keys]
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(function, *args) for function, args in jobs]:
            done.result()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
