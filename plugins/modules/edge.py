#!/usr/bin/python
# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: edge
short_description: nginx and TLS for all stacks of a host
version_added: 0.1.0
description:
  - Renders an nginx configuration from the routes files under O(root)C(/stacks), tests it with nginx itself,
    switches to it and proves that it is the one that runs.
  - A configuration nginx refuses never replaces one that works. A run that was killed is finished by the next one.
  - Networks of stacks are joined on the running container. It is recreated only when its image, ports or limits change.
author: Landfall contributors (@landfall-stack)
attributes:
  check_mode:
    support: full
    description: Returns the plan; also on a host without Docker.
  diff_mode:
    support: full
    description: Shows the configuration files that change.
options:
  root:
    description: The edge's directory on the host.
    type: path
    default: /etc/landfall/edge
  container:
    description: Name of the container, of its Compose project and of its own network.
    type: str
    default: landfall-edge
  image:
    description: An image with nginx 1.27.3 or later that runs without root and listens above port 1024.
    type: str
    default: nginxinc/nginx-unprivileged:1.30
  user:
    description: The C(uid:gid) nginx runs as.
    type: str
    default: "101:101"
  http_port:
    description: Port of the host for HTTP.
    type: int
    default: 80
  https_port:
    description: Port of the host for HTTPS.
    type: int
    default: 443
  address:
    description: Address of the host to publish the ports on; empty for all.
    type: str
    default: ""
  memory:
    description: Memory limit of the container.
    type: str
    default: 512m
  certificates:
    description:
      - The certificates under O(root)C(/certs) and the host names each is for.
      - A host that none is for shows the certificate called C(placeholder).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the certificate's directory.
        type: str
        required: true
      domains:
        description: Host names; C(*.example.com) covers one label.
        type: list
        elements: str
        required: true
  settings:
    description:
      - Settings of the nginx configuration, as a dictionary. An unknown key or a value nginx would misread is refused.
      - The keys and their defaults stand in the README of the role P(landfall.stack.edge#role).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: The edge of this host
  landfall.stack.edge:
    certificates:
      - {name: shop, domains: [shop.example.com, www.example.com]}
    settings:
      drain: 10m
      trusted_proxies: [203.0.113.0/24]
"""

RETURN = r"""
generation:
  description: Name of the configuration, a hash of its content.
  returned: always
  type: str
  sample: 3b3910cb5616cd2b
actions:
  description: What was (or would be) done, and why.
  returned: always
  type: list
  elements: str
  sample: ["switch 3b3910cb5616cd2b: 11fe7a63e3a0d17b runs"]
hosts:
  description: Every host name the edge answers for.
  returned: always
  type: list
  elements: str
missing_networks:
  description: Networks of stacks that are not on the host; such a stack is answered with 502.
  returned: always
  type: list
  elements: str
timings:
  description: Seconds of each step.
  returned: always
  type: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.landfall.stack.plugins.module_utils.clients.nginx import connect
from ansible_collections.landfall.stack.plugins.module_utils.edge.errors import EdgeError
from ansible_collections.landfall.stack.plugins.module_utils.edge.project import EdgeConfig


def run(module):
    config = EdgeConfig(**{**module.params, "certificates": tuple(module.params["certificates"])})
    edge, disk = connect(config)
    if module.check_mode:
        return edge.run(apply=False)
    os.makedirs(config.root, mode=0o755, exist_ok=True)
    with disk.lock():
        return edge.run()


def main():
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "default": "/etc/landfall/edge"},
            "container": {"type": "str", "default": "landfall-edge"},
            "image": {"type": "str", "default": "nginxinc/nginx-unprivileged:1.30"},
            "user": {"type": "str", "default": "101:101"},
            "http_port": {"type": "int", "default": 80},
            "https_port": {"type": "int", "default": 443},
            "address": {"type": "str", "default": ""},
            "memory": {"type": "str", "default": "512m"},
            "certificates": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "domains": {"type": "list", "elements": "str", "required": True},
                },
            },
            "settings": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    try:
        outcome = run(module)
    except EdgeError as problem:
        module.fail_json(msg=str(problem))
    for network in outcome.missing_networks:
        module.warn(f"network {network} is not on this host: its stack does not run, and is answered with 502")
    result = {
        "changed": outcome.changed,
        "generation": outcome.generation,
        "actions": [str(action) for action in outcome.actions],
        "hosts": list(outcome.hosts),
        "missing_networks": list(outcome.missing_networks),
        "timings": dict(outcome.timings),
    }
    if module._diff:
        result["diff"] = [
            {"before_header": name, "after_header": name, "before": before, "after": after}
            for name, (before, after) in outcome.files.items()
        ]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
