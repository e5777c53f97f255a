"""``python -m bench.rollout.load --address A --host NAME --out FILE``: runs until SIGTERM or --seconds are over.

Prints one JSON line at its end: seconds, and how late requests left (the generator's own lag).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import gzip
import json
import resource
import signal
import ssl
import sys
import time

from ..series import percentile
from .generator import Generator
from .http1 import Target


def context(ca_file: str | None) -> ssl.SSLContext:
    """TLS as clients speak it; with a CA file the certificate is checked against it, chain and name."""
    made = ssl.create_default_context(cafile=ca_file)
    made.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    made.set_alpn_protocols(["http/1.1"])
    return made


async def go(args: argparse.Namespace) -> dict[str, float]:
    target = Target(args.address, args.port, args.host, context(args.ca))
    with gzip.open(args.out, "wt", compresslevel=3) as out:
        generator = Generator(target, args.rate, out)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, generator.stopping.set)
        if args.seconds:
            loop.call_later(args.seconds, generator.stopping.set)
        began = time.monotonic()
        await generator.run()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": round(time.monotonic() - began, 1),
        "lag_p99_s": round(percentile(generator.lag, 99), 4),
        "lag_max_s": round(max(generator.lag, default=0.0), 4),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.rollout.load", description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, default=443)
    parser.add_argument("--host", required=True, help="the name in SNI and Host")
    parser.add_argument("--ca", help="PEM of the CA to check against")
    parser.add_argument("--rate", type=float, default=150)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    gc.freeze()
    print(json.dumps(asyncio.run(go(args))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
