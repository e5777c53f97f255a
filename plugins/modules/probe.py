#!/usr/bin/python
# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a stack's URLs as the world does."""

from __future__ import annotations

DOCUMENTATION = r"""
module: probe
short_description: Ask a stack's URLs as the world does
version_added: 0.1.0
description:
  - Requests every routed host and path over HTTPS, with the right name in SNI and the Host header, and fails when one
    does not answer with a status below O(max_status), or shows a certificate that is not valid for it.
  - Never changes anything.
author:
  - Landfall contributors (@landfall-stack)
attributes:
  check_mode:
    description: Can run in check mode, it never changes anything.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  urls:
    description: URLs to request, C(https) only.
    type: list
    elements: str
    default: []
  routes_file:
    description: A routes file on the machine the module runs on; its hosts and paths are requested too.
    type: path
  routes:
    description: The content of a routes file, when it is read elsewhere.
    type: dict
  connect_address:
    description: Connect to this address instead of resolving the hosts.
    type: str
  connect_port:
    description: Connect to this port instead of 443.
    type: int
  validate_certs:
    description: Require a certificate that a known CA has signed for the host.
    type: bool
    default: true
  ca_file:
    description: A CA to trust beside the system's, as a PEM file on the machine the module runs on.
    type: path
  max_status:
    description: The highest status that counts as an answer. Routes may well ask for a login.
    type: int
    default: 499
  timeout:
    description: Seconds for one request.
    type: int
    default: 10
  retries:
    description: How often a URL is tried in all.
    type: int
    default: 5
  delay:
    description: Seconds between tries.
    type: int
    default: 2
"""

EXAMPLES = r"""
- name: Verify from the host itself
  landfall.stack.probe:
    routes_file: /etc/landfall/edge/stacks/jarvis.json
    connect_address: 127.0.0.1

- name: Verify from the controller, as users come in
  landfall.stack.probe:
    urls: [https://jarvis.example.com/]
  delegate_to: localhost
  become: false
"""

RETURN = r"""
results:
  description:
    - One entry for each URL with C(url), C(ok), C(status), C(seconds), C(tries), C(issuer), C(expires_in_days),
      C(names) and C(error).
  returned: always
  type: list
  elements: dict
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.landfall.stack.plugins.module_utils.clients.https import context_for, get
from ansible_collections.landfall.stack.plugins.module_utils.compose.routes import RoutesError, StackRoutes, from_json


def urls_of(routes: StackRoutes) -> list[str]:
    """The URL of each route, without duplicates."""
    return list(dict.fromkeys(f"https://{route.host}{route.path}" for route in routes.routes))


def probe(url: str, params: dict, context: object) -> dict:
    """Try one URL until it answers or the tries are used up."""
    for tries in range(1, max(params["retries"], 1) + 1):
        answer = get(url, context, params["connect_address"], params["connect_port"], params["timeout"])
        ok = 0 < answer.status <= params["max_status"]
        if ok:
            break
        if tries < params["retries"]:
            time.sleep(params["delay"])
    error = answer.error or ("" if ok else f"answers with status {answer.status}")
    return {
        "url": url,
        "ok": ok,
        "status": answer.status,
        "seconds": round(answer.seconds, 3),
        "tries": tries,
        "issuer": answer.issuer,
        "expires_in_days": round((answer.expires - time.time()) / 86400, 2) if answer.expires else None,
        "names": list(answer.names),
        "error": error,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "urls": {"type": "list", "elements": "str", "default": []},
            "routes_file": {"type": "path"},
            "routes": {"type": "dict"},
            "connect_address": {"type": "str"},
            "connect_port": {"type": "int"},
            "validate_certs": {"type": "bool", "default": True},
            "ca_file": {"type": "path"},
            "max_status": {"type": "int", "default": 499},
            "timeout": {"type": "int", "default": 10},
            "retries": {"type": "int", "default": 5},
            "delay": {"type": "int", "default": 2},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        context = context_for(params["validate_certs"], params["ca_file"])
        urls = list(params["urls"])
        if params["routes_file"]:
            with open(params["routes_file"], encoding="utf-8") as file:
                urls += urls_of(from_json(file.read(), params["routes_file"]))
        if params["routes"]:
            urls += urls_of(from_json(json.dumps(params["routes"]), "routes"))
    except RoutesError as problem:
        module.fail_json(msg=str(problem), results=[])
    except OSError as problem:
        module.fail_json(msg=f"{problem}: check routes_file and ca_file", results=[])
    foreign = [url for url in urls if not url.startswith("https://")]
    if foreign:
        module.fail_json(msg=f"{', '.join(foreign)}: only https URLs are probed", results=[])
    # Several at once: a slow route must not hold up the others.
    with ThreadPoolExecutor(max_workers=8) as pool:
        results = list(pool.map(lambda url: probe(url, params, context), dict.fromkeys(urls)))
    bad = [f"{one['url']}: {one['error']} (tried {one['tries']} times)" for one in results if not one["ok"]]
    if bad:
        where = params["connect_address"] or "the addresses the names resolve to"
        hint = f"Asked at {where}. Look at 'landfall status', 'landfall logs <stack>' and the edge's log on the host"
        module.fail_json(msg="\n".join([*bad, hint]), results=results)
    module.exit_json(changed=False, results=results)


if __name__ == "__main__":
    main()
