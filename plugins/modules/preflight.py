#!/usr/bin/python
# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module preflight: gathers the host's facts, runs the pure checks over them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Checks a host before anything is changed on it
version_added: 0.1.0
author:
  - Landfall contributors (@landfall)
description:
  - Looks at system, resources, clock, kernel, package manager, ports, DNS, package sources and registries of the host,
    and returns all findings at once, each with its remedy.
  - Changes nothing, and does not fail for what it finds; the role landfall.stack.preflight does.
  - Works without root, but then can't name the program that holds a port.
options:
  allow_unsupported_os:
    description: A system that is not supported is a warning instead of an error.
    type: bool
    default: false
  min_memory_mb:
    description: Less RAM than this, in MiB, is an error.
    type: int
    default: 900
  warn_memory_mb:
    description: Less RAM than this, in MiB, is a warning.
    type: int
    default: 1800
  min_disk_mb:
    description: Less free space than this, in MiB, on one of O(disk_paths) is an error.
    type: int
    default: 4096
  disk_paths:
    description: Where space is needed. A directory that is not there yet stands for its parent.
    type: list
    elements: str
    default: [/, /var/lib, /var/lib/docker, /opt]
  controller_time:
    description: The controller's clock in seconds since 1970. Without it the clock is not checked.
    type: float
  max_clock_skew:
    description: A larger difference from O(controller_time), in seconds, is an error.
    type: int
    default: 30
  names:
    description: Names that lead to services of this host.
    type: list
    elements: str
    default: []
  dns:
    description: How a name that does not lead to this host counts.
    type: str
    choices: [fail, warn, skip]
    default: fail
  public_addresses:
    description: Addresses that lead to this host though it does not have them itself (NAT, load balancer).
    type: list
    elements: str
    default: []
  reached_at:
    description: Name or address the controller reaches the host at; counts as one of the host's addresses.
    type: str
    default: ""
  ports:
    description: Ports the edge needs.
    type: list
    elements: int
    default: [80, 443]
  edge_container:
    description: Name of the container that may hold O(ports), or what its name begins with before a hyphen.
    type: str
    default: landfall-edge
  docker_source:
    description: Where Docker comes from.
    type: str
    choices: [docker, distribution]
    default: docker
  docker_repository:
    description: Docker's repository without the distribution's name; asked when O(docker_source) is V(docker).
    type: str
    default: https://download.docker.com/linux
  compose_required:
    description: Whether Compose v2 has to be there in the end.
    type: bool
    default: true
  images:
    description: Images that have to resolve in their registries.
    type: list
    elements: dict
    default: []
    suboptions:
      stack:
        description: Name of the stack.
        type: str
        required: true
      service:
        description: Name of the service.
        type: str
        required: true
      image:
        description: Image reference.
        type: str
        required: true
  registry_mirrors:
    description: Base URLs asked first for images of Docker Hub, before those in the host's daemon.json.
    type: list
    elements: str
    default: []
  insecure_registries:
    description: Registries that may speak plain HTTP, besides those in the host's daemon.json.
    type: list
    elements: str
    default: []
  registries:
    description: Logins for registries, besides those in the config.json of the host's root.
    type: list
    elements: dict
    default: []
    suboptions:
      registry:
        description: Host name of the registry, with its port if it has one; V(docker.io) for Docker Hub.
        type: str
        required: true
      username:
        description: User.
        type: str
        required: true
      password:
        description: Password or token.
        type: str
        required: true
  timeout:
    description: Seconds one answer from the network may take.
    type: float
    default: 5
  skip:
    description: Names of checks to leave out.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Can run in check mode.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Look at the host
  landfall.stack.preflight:
    names: [www.example.com]
    images:
      - {stack: shop, service: web, image: "nginx:1.30"}
    controller_time: "{{ now().timestamp() }}"
  register: looked

- name: Show what is wrong
  ansible.builtin.debug:
    msg: "{{ looked.findings | rejectattr('level', 'equalto', 'ok') }}"
"""

RETURN = r"""
findings:
  description: What the checks found, in their order.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: Name of the check.
      type: str
      returned: always
    level:
      description: V(ok), V(warning) or V(error).
      type: str
      returned: always
    message:
      description: What is the case, and where.
      type: str
      returned: always
    remedy:
      description: What to do; empty when the level is V(ok).
      type: str
      returned: always
  sample:
    - check: ports
      level: error
      message: Port 80 is taken by apache2 (pid 712).
      remedy: "Stop it (systemctl disable --now apache2.service), or let it listen elsewhere: the edge needs port 80."
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.landfall.stack.plugins.module_utils.clients.host_probe import Request, gather
from ansible_collections.landfall.stack.plugins.module_utils.clients.registry import Credentials
from ansible_collections.landfall.stack.plugins.module_utils.preflight import Policy, run_checks


def argument_spec():
    """Return the module's arguments."""
    texts = {"type": "list", "elements": "str", "default": []}
    return {
        "allow_unsupported_os": {"type": "bool", "default": False},
        "min_memory_mb": {"type": "int", "default": 900},
        "warn_memory_mb": {"type": "int", "default": 1800},
        "min_disk_mb": {"type": "int", "default": 4096},
        "disk_paths": {"type": "list", "elements": "str", "default": ["/", "/var/lib", "/var/lib/docker", "/opt"]},
        "controller_time": {"type": "float"},
        "max_clock_skew": {"type": "int", "default": 30},
        "names": dict(texts),
        "dns": {"type": "str", "choices": ["fail", "warn", "skip"], "default": "fail"},
        "public_addresses": dict(texts),
        "reached_at": {"type": "str", "default": ""},
        "ports": {"type": "list", "elements": "int", "default": [80, 443]},
        "edge_container": {"type": "str", "default": "landfall-edge"},
        "docker_source": {"type": "str", "choices": ["docker", "distribution"], "default": "docker"},
        "docker_repository": {"type": "str", "default": "https://download.docker.com/linux"},
        "compose_required": {"type": "bool", "default": True},
        "images": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {name: {"type": "str", "required": True} for name in ("stack", "service", "image")},
        },
        "registry_mirrors": dict(texts),
        "insecure_registries": dict(texts),
        "registries": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "registry": {"type": "str", "required": True},
                "username": {"type": "str", "required": True},
                "password": {"type": "str", "required": True, "no_log": True},
            },
        },
        "timeout": {"type": "float", "default": 5},
        "skip": dict(texts),
    }


def request_of(params):
    """Return what to gather."""
    return Request(
        paths=params["disk_paths"],
        ports=params["ports"],
        names=[] if params["dns"] == "skip" else params["names"],
        images=[(item["stack"], item["service"], item["image"]) for item in params["images"]],
        reached_at=params["reached_at"],
        controller_time=params["controller_time"],
        docker_repository=params["docker_repository"] if params["docker_source"] == "docker" else "",
        mirrors=params["registry_mirrors"],
        insecure=params["insecure_registries"],
        credentials={
            item["registry"]: Credentials(item["username"], item["password"]) for item in params["registries"]
        },
        timeout=params["timeout"],
        skip=params["skip"],
    )


def policy_of(params):
    """Return what the operator demands."""
    return Policy(
        allow_unsupported_os=params["allow_unsupported_os"],
        min_memory_mb=params["min_memory_mb"],
        warn_memory_mb=params["warn_memory_mb"],
        min_disk_mb=params["min_disk_mb"],
        max_clock_skew=params["max_clock_skew"],
        dns=params["dns"],
        public_addresses=tuple(params["public_addresses"]),
        ports=tuple(params["ports"]),
        edge_container=params["edge_container"],
        docker_source=params["docker_source"],
        compose_required=params["compose_required"],
        skip=tuple(params["skip"]),
    )


def main():
    """Gather, check, hand back."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    findings = run_checks(gather(request_of(module.params)), policy_of(module.params))
    module.exit_json(changed=False, findings=[finding.to_dict() for finding in findings])


if __name__ == "__main__":
    main()
