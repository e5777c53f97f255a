"""A queue worker: one job after the other; on SIGTERM it finishes the one it has."""

import os
import signal
import time

going = True


def stop(*_: object) -> None:
    global going
    going = False


signal.signal(signal.SIGTERM, stop)
print(f"bench: worker {os.environ.get('VERSION')}", flush=True)
while going:
    time.sleep(float(os.environ.get("JOB_SECONDS", "2")))
