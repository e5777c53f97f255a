# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of ``x-landfall``: JSON Schema (Draft-7), the source of docs/stack-reference.md as well.

Every key has a ``description``; ``default`` is what holds when the key is not given; ``examples`` are valid.
``title`` names the kind of value in messages ("'10/s' is not a rate; write it like 10r/s").
"""

from __future__ import annotations

from typing import Any

from .values import DURATION, HEADER, HOSTNAME, PATH, PERCENT, RATE, SIZE

Schema = dict[str, Any]

KEY = "x-landfall"
DEFAULT_LIMIT = {"rate": "10r/s", "burst": 20}


def _obj(description: str, properties: Schema, required: tuple[str, ...] = (), **more: Any) -> Schema:
    out: Schema = {"type": "object", "description": description, "properties": properties}
    out["additionalProperties"] = False
    if required:
        out["required"] = list(required)
    return {**out, **more}


def _text(title: str, pattern: str, description: str, examples: list[str], **more: Any) -> Schema:
    return {
        "type": "string",
        "title": title,
        "pattern": pattern,
        "description": description,
        "examples": examples,
        **more,
    }


def _duration(description: str, **more: Any) -> Schema:
    return _text("duration", DURATION, description, ["30s", "5m"], **more)


def _integer(description: str, minimum: int, **more: Any) -> Schema:
    return {
        "type": "integer",
        "description": description,
        "minimum": minimum,
        "examples": [more.get("default", minimum + 1)],
        **more,
    }


def _bool(description: str, default: bool) -> Schema:
    return {"type": "boolean", "description": description, "default": default, "examples": [not default]}


def _enum(description: str, values: list[str], **more: Any) -> Schema:
    return {"type": "string", "description": description, "enum": values, "examples": values[:1], **more}


def _list(description: str, items: Schema, examples: list[Any], **more: Any) -> Schema:
    return {"type": "array", "description": description, "items": items, "minItems": 1, "examples": [examples], **more}


_STRING: Schema = {"type": "string", "minLength": 1}
_SIZE_EXAMPLES = ["10m", "512k"]

ROUTE = _obj(
    "One way from the world to this service.",
    {
        "path": _text(
            "path",
            PATH,
            "What the address begins with. `/auth/` takes everything below it, `/` everything no other route takes.",
            ["/auth/", "/"],
        ),
        "port": {
            "type": "integer",
            "description": "The port the service listens on inside its container.",
            "minimum": 1,
            "maximum": 65535,
            "examples": [9998],
        },
        "host": _text(
            "host name",
            HOSTNAME,
            "The host name of the route, one of the stack's `domains`. Not given: the first of them.",
            ["api.example.com"],
        ),
        "protocol": _enum(
            "`websocket` and `sse` get unbuffered locations with long read timeouts.",
            ["http", "websocket", "sse"],
            default="http",
        ),
        "strip": _bool(
            "Take the path away before the request goes on: `/api/users` reaches the service as `/users`.", False
        ),
        "rewrite": _text(
            "path",
            PATH,
            "Put this in the place of the path before the request goes on. Not together with `strip`.",
            ["/v1/"],
        ),
        "limit": {
            "description": "Requests allowed per client address, more are answered 429. `false` switches it off.",
            "default": dict(DEFAULT_LIMIT),
            "examples": [{"rate": "10r/s", "burst": 20}, False],
            "anyOf": [
                _obj(
                    "",
                    {
                        "rate": _text(
                            "rate", RATE, "Steady rate, per second or minute.", ["10r/s", "300r/m"], default="10r/s"
                        ),
                        "burst": _integer("Requests above the rate let through at once.", 0, default=20),
                    },
                ),
                {"type": "boolean", "const": False},
            ],
        },
        "body_size": _text("size", SIZE, "Largest request body; `0` for no limit.", _SIZE_EXAMPLES, default="10m"),
        "timeout": _duration("How long the edge waits for the service, between two reads.", default="60s"),
        "drain": _duration(
            "How long open connections may live on when an instance leaves. Not given: the rollout's `drain`.",
        ),
    },
    ("path", "port"),
)

ROLLOUT = _obj(
    "How a new version takes the place of the old one.",
    {
        "strategy": _enum(
            "Not given: `rolling`, or `recreate` (stopped first) for a database, and for a service that holds an "
            "exclusive volume, a fixed host port or a `container_name`.",
            ["rolling", "blue-green", "canary", "recreate"],
        ),
        "batch": _integer("Instances started at a time. Not given: all of them.", 1),
        "max_surge": _integer("Instances above the wanted number while replacing. Not given: `batch`.", 0),
        "max_unavailable": _integer("Instances below the wanted number while replacing.", 0, default=0),
        "healthy_for": _duration(
            "How long a new instance must stay healthy before it counts. Not given: `0s` with a healthcheck, `5s` "
            "without one."
        ),
        "deadline": _duration("When a new instance is not healthy by then, the rollout has failed.", default="120s"),
        "drain": _duration("How long an old instance may finish its requests.", default="30s"),
        "bake": _duration("How long the new version is watched after the last step.", default="15s"),
        "max_error_rate": _text(
            "percentage",
            PERCENT,
            "More failed requests (status 500 and above) than this, and than before: roll back.",
            ["1%", "0.5%"],
            default="5%",
        ),
        "max_p99": _duration("A slower 99th percentile than this: roll back."),
        "steps": _list(
            "Canary: percent of the requests at each step, growing; the last one is 100.",
            {"type": "integer", "minimum": 1, "maximum": 100, "description": "Percent.", "examples": [10]},
            [10, 50, 100],
        ),
        "hold": _duration("Canary: how long each step is held.", default="60s"),
        "wait": _bool("`false`: the deploy does not wait for the old instances to finish (workers).", True),
        "east_west": _enum(
            "Who answers for the service's name inside the stack: `relay`, a small nginx that drops nothing on a "
            "rollout (HTTP only), or its containers (`direct`). Not given: `relay` when other services call it by an "
            "`http://` address, read from their environments.",
            ["relay", "direct"],
        ),
    },
)

_HOOK = _obj(
    "A command in the new image.",
    {
        "command": {
            "description": "The command as a list, or one line for `sh -c`.",
            "examples": [["alembic", "upgrade", "head"]],
            "anyOf": [{"type": "array", "items": _STRING, "minItems": 1}, _STRING],
        },
        "timeout": _duration("When it takes longer, it has failed.", default="10m"),
    },
    ("command",),
)

HOOKS = _obj(
    "Commands around a rollout.",
    {
        "migrate": {
            **_HOOK,
            "description": "Once a release, in a container of the new image, before the first new instance.",
        },
        "smoke": {**_HOOK, "description": "In the first new instance, before it gets a request; the user's own test."},
        "post_deploy": {**_HOOK, "description": "Once a release, when all instances are new."},
        "pre_stop": {**_HOOK, "description": "In each old instance before it is stopped."},
    },
)

_DRILL_CHECK = _obj(
    "A query, and the answer it must give.",
    {
        "query": {**_STRING, "description": "One SQL query.", "examples": ["SELECT count(*) > 0 FROM users"]},
        "expect": {
            "description": "The whole answer. Not given: anything that is not empty, false or 0.",
            "examples": ["t"],
            "anyOf": [_STRING, {"type": "integer"}, {"type": "boolean"}],
        },
        "in": {
            **_STRING,
            "description": "Which one, where the service has several: a database's name, a SQLite file's path.",
            "examples": ["jarvis"],
        },
    },
    ("query",),
)

BACKUP = _obj(
    "What of this service is kept safe, see docs/backups.md.",
    {
        "postgres": _obj(
            "A PostgreSQL server.",
            {
                "databases": _list("Databases; not given: all of them.", _STRING, ["jarvis"]),
                "engine": _enum(
                    "`logical` dumps. `pgbackrest` (point in time) is for clusters of the host, in `backup_sources`,"
                    " and refused for a service.",
                    ["logical", "pgbackrest"],
                    default="logical",
                ),
                "user": {
                    **_STRING,
                    "description": "Role that reads; not given: the image's superuser.",
                    "examples": ["backup"],
                },
                "password_file": {
                    **_STRING,
                    "description": "File on the host with its password, where the socket asks for one.",
                    "examples": ["/opt/landfall/jarvis/secrets/POSTGRES_PASSWORD"],
                },
                "allow_empty": _bool("A database without tables is no fault.", False),
            },
        ),
        "sqlite": _list(
            "SQLite files inside the container.", {"$ref": "#/definitions/container_path"}, ["/data/app.sqlite3"]
        ),
        "redis": _obj(
            "A Redis or Valkey server.",
            {
                "password_file": {
                    **_STRING,
                    "description": "File on the host with its password.",
                    "examples": ["/opt/landfall/jarvis/secrets/REDIS_PASSWORD"],
                },
                "password_env": {
                    **_STRING,
                    "description": "Variable of the container that holds its password.",
                    "examples": ["REDIS_PASSWORD"],
                },
                "port": {
                    "type": "integer",
                    "description": "Where it listens inside the container.",
                    "minimum": 1,
                    "maximum": 65535,
                    "default": 6379,
                    "examples": [6380],
                },
            },
        ),
        "mongo": _obj(
            "A MongoDB server; all of it, with the oplog, on a replica set.",
            {
                "databases": _list("One database, without the oplog.", _STRING, ["app"], maxItems=1),
                "config_file": {
                    "$ref": "#/definitions/container_path",
                    "description": "File in the container with its password or URI, for `--config` of its programs.",
                    "examples": ["/run/secrets/mongo.yaml"],
                },
            },
        ),
        "chroma": _obj(
            "A Chroma store.",
            {"path": {"$ref": "#/definitions/container_path", "description": "Its directory.", "default": "/data"}},
        ),
        "volumes": _list("Named volumes of this service.", _STRING, ["uploads"]),
        "paths": _list(
            "Directories or files inside the container.", {"$ref": "#/definitions/container_path"}, ["/data/files"]
        ),
        "exclude": _list("Patterns left out of `volumes` and `paths`.", _STRING, ["*.tmp"]),
        "engine": _enum(
            "How `volumes`, `paths` and the directory of `chroma` are kept: whole each time, or by restic, which sends "
            "only what is new.",
            ["stream", "restic"],
            default="stream",
        ),
        "quiesce": _enum(
            "What happens to the service while files are copied; with `chroma`, when nothing is said, it is stopped.",
            ["none", "pause", "stop"],
            default="none",
        ),
        "drill": {
            "description": "What a drill asks of the restored data of this service, one mapping or a list of them.",
            "examples": [{"query": "SELECT count(*) > 0 FROM users", "expect": "t"}],
            "anyOf": [{"type": "array", "items": _DRILL_CHECK, "minItems": 1}, _DRILL_CHECK],
        },
    },
)

ALERTS = _obj(
    "What is reported about this service. Validated now, acted on by monitoring.",
    {
        "max_error_rate": _text("percentage", PERCENT, "Alert above this share of failed requests.", ["5%"]),
        "max_p99": _duration("Alert above this 99th percentile."),
        "max_restarts": _integer("Alert above this many restarts an hour.", 0, default=3),
        "backup_age": _duration("Alert when the last verified backup is older.", default="26h"),
        "severity": _enum("How loud.", ["warning", "critical"], default="critical"),
        "runbook": _text("web address", r"^https?://\S+$", "Where to read on.", ["https://wiki.example.com/api-down"]),
        "enabled": _bool("`false`: no alerts about this service.", True),
    },
)

DEFINITIONS: Schema = {
    "route": ROUTE,
    "container_path": _text("absolute path", r"^/.+$", "An absolute path inside the container.", ["/data"]),
}

#: ``x-landfall`` of a service.
SERVICE = _obj(
    "What Compose cannot say about a service.",
    {
        "route": {
            "description": "How the world reaches the service: one mapping or a list of them. None: internal only.",
            "examples": [[{"path": "/auth/", "port": 9998}]],
            "anyOf": [
                {"type": "array", "items": {"$ref": "#/definitions/route"}, "minItems": 1},
                {"$ref": "#/definitions/route"},
            ],
        },
        "rollout": ROLLOUT,
        "hooks": HOOKS,
        "backup": BACKUP,
        "alerts": ALERTS,
    },
    definitions=DEFINITIONS,
)

#: ``x-landfall`` at the top of the file.
STACK = _obj(
    "What Compose cannot say about the stack.",
    {
        "domains": _list(
            "Host names of the stack; one certificate holds them all, the first is the default `host` of routes.",
            _text("host name", HOSTNAME, "A host name in small letters.", ["jarvis.example.com"]),
            ["jarvis.example.com"],
            uniqueItems=True,
        ),
        "releases": _obj(
            "The releases kept on the host.",
            {"keep": _integer("How many, the current one among them.", 1, default=5)},
        ),
        "edge": _obj(
            "Defaults for all routes of the stack.",
            {
                "headers": {
                    "type": "object",
                    "description": 'Response headers added for this stack; `""` takes one of the edge\'s own away.',
                    "examples": [{"Content-Security-Policy": "default-src 'self'"}],
                    "additionalProperties": {
                        "type": "string",
                        "pattern": HEADER,
                        "title": "header value",
                        "examples": ["default-src 'self'"],
                    },
                    "propertyNames": {
                        "pattern": r"^[A-Za-z0-9-]+$",
                        "title": "header name",
                        "examples": ["Content-Security-Policy"],
                    },
                },
                "body_size": _text("size", SIZE, "`body_size` of routes that say none.", _SIZE_EXAMPLES, default="10m"),
                "timeout": _duration("`timeout` of routes that say none.", default="60s"),
                "limit": {
                    **ROUTE["properties"]["limit"],
                    "description": "`limit` of routes that say none; `false` for no limit.",
                },
            },
        ),
    },
)
