# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration from the environment: read once, checked as a whole, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jarvis.catalog import SERVICES, Service

MIN_SECRET_LENGTH = 32
ALGORITHMS = ("HS256", "HS384", "HS512")
DEFAULT_URLS = {
    "auth": ("AUTH_SERVICE_URL", "http://auth-service:9998"),
    "registry": ("REGISTRY_SERVICE_URL", "http://registry-service:8003"),
    "tickets": ("TICKETS_AGENT_URL", "http://tickets-agent:8080"),
    "finops": ("FINOPS_AGENT_URL", "http://finops-agent:8081"),
    "oxygen": ("OXYGEN_AGENT_URL", "http://oxygen-agent:8082"),
}
AGENT_IDS = ("tickets", "finops", "oxygen")


class SettingsError(ValueError):
    """The environment cannot be used; the message lists every problem with its remedy."""


@dataclass(frozen=True)
class Settings:
    """Everything a service is told from outside. Times are seconds."""

    service: Service
    host: str = "0.0.0.0"
    port: int = 0
    version: str = "dev"
    log_level: str = "INFO"
    data_dir: Path = Path("/app/data")
    database_url: str = field(default="", repr=False)  # empty: SQLite in data_dir
    registry_file: Path = Path("/app/data/agent_registry.json")
    jwt_secret: str = field(default="", repr=False)
    jwt_secret_previous: str = field(default="", repr=False)  # accepted for checking only, while a rotation lasts
    jwt_algorithm: str = "HS256"
    jwt_lifetime_s: int = 24 * 3600
    urls: Mapping[str, str] = field(default_factory=dict)
    public_url: str = ""
    trusted_proxies: str = "127.0.0.1"  # addresses and networks whose X-Forwarded-* headers count
    graceful_timeout_s: int = 20
    upstream_patience_s: float = 2.0  # how long a refused connection to another service is tried again

    @classmethod
    def from_env(cls, name: str, env: Mapping[str, str]) -> Settings:
        """Build the settings of service ``name``. Raises SettingsError naming every bad variable at once."""
        if name not in SERVICES:
            raise SettingsError(f"Unknown service {name!r}: set JARVIS_SERVICE to one of {', '.join(SERVICES)}.")
        service, problems = SERVICES[name], []

        def text(key: str, default: str = "") -> str:
            return env.get(key, "").strip() or default

        def secret(key: str) -> str:
            """The variable, or the content of the file that <key>_FILE names."""
            path = text(f"{key}_FILE")
            if not path:
                return text(key)
            try:
                return Path(path).read_text(encoding="utf-8").strip()
            except OSError as error:
                problems.append(f"{key}_FILE: cannot read {path} ({error.strerror}).")
                return ""

        def number(key: str, default: float, low: float, high: float) -> float:
            raw = text(key, str(default))
            try:
                value = float(raw)
            except ValueError:
                value = float("nan")
            if not low <= value <= high:
                problems.append(f"{key}={raw}: must be a number from {low:g} to {high:g}.")
                return default
            return value

        jwt_secret, previous = secret("JWT_SECRET_KEY"), secret("JWT_SECRET_KEY_PREVIOUS")
        algorithm = text("JWT_ALGORITHM", "HS256")
        database_url = secret("DATABASE_URL")
        if name == "auth-service":
            for key, value in (("JWT_SECRET_KEY", jwt_secret), ("JWT_SECRET_KEY_PREVIOUS", previous)):
                if (value or key == "JWT_SECRET_KEY") and len(value.encode()) < MIN_SECRET_LENGTH:
                    problems.append(
                        f"{key} has {len(value.encode())} bytes: at least {MIN_SECRET_LENGTH} are needed"
                        " (openssl rand -hex 32)."
                    )
            if algorithm not in ALGORITHMS:
                problems.append(f"JWT_ALGORITHM={algorithm}: must be one of {', '.join(ALGORITHMS)}.")
        if database_url and not database_url.startswith(("postgresql://", "postgres://")):
            problems.append("DATABASE_URL must start with postgresql:// (leave it empty for SQLite).")
        urls = {key: text(variable, default).rstrip("/") for key, (variable, default) in DEFAULT_URLS.items()}
        for key, url in urls.items():
            if not url.startswith(("http://", "https://")):
                problems.append(f"{DEFAULT_URLS[key][0]}={url}: must start with http:// or https://.")
        port = int(number("PORT", service.port, 1, 65535))
        lifetime = int(number("JWT_EXPIRATION_HOURS", 24, 0.0003, 24 * 365) * 3600)
        graceful = int(number("GRACEFUL_TIMEOUT", 20, 1, 3600))
        patience = number("UPSTREAM_PATIENCE", 2, 0, 60)
        log_level = text("LOG_LEVEL", "INFO").upper()
        if log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            problems.append(f"LOG_LEVEL={log_level}: must be DEBUG, INFO, WARNING or ERROR.")
        if problems:
            raise SettingsError(f"{name} cannot start:\n" + "\n".join(f"  - {problem}" for problem in problems))
        data_dir = Path(text("DATA_DIR", "/app/data"))
        return cls(
            service=service,
            host=text("HOST", "0.0.0.0"),
            port=port,
            version=text("JARVIS_VERSION", "dev"),
            log_level=log_level,
            data_dir=data_dir,
            database_url=database_url,
            registry_file=Path(text("REGISTRY_FILE_PATH", str(data_dir / "agent_registry.json"))),
            jwt_secret=jwt_secret,
            jwt_secret_previous=previous,
            jwt_algorithm=algorithm,
            jwt_lifetime_s=lifetime,
            urls=urls,
            public_url=text("PUBLIC_URL"),
            trusted_proxies=text("TRUSTED_PROXIES", "127.0.0.1"),
            graceful_timeout_s=graceful,
            upstream_patience_s=patience,
        )
