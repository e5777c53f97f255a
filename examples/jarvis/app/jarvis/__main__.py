# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m jarvis [SERVICE]``: run one service (default: $JARVIS_SERVICE) until SIGTERM."""

from __future__ import annotations

import signal
import sys

# Before the heavy imports: as process 1 a container ignores SIGTERM until somebody handles it.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

import importlib  # noqa: E402
import os  # noqa: E402

from jarvis.settings import Settings, SettingsError  # noqa: E402


def main() -> int:
    name = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("JARVIS_SERVICE", "")
    try:
        settings = Settings.from_env(name, os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2

    import uvicorn

    from jarvis.logs import configure

    configure(settings)
    service = settings.service
    app = getattr(importlib.import_module(service.module), service.factory)(settings)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=settings.graceful_timeout_s,
        timeout_keep_alive=75,  # longer than the proxy keeps its idle connections, so that the proxy closes first
        ws_max_size=64 * 1024,
        ws_ping_interval=20,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
