#!/usr/bin/python
# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: certificate
short_description: TLS certificates of the edge, from an ACME CA by webroot
version_added: 0.1.0
description:
  - Gets, renews and deploys certificates with certbot, and puts a self-signed placeholder where none is yet, so that
    nginx starts on a bare host.
  - A certificate is renewed when a share of its lifetime is left, not a fixed number of days before it ends.
  - A failed issuance changes nothing that is in place. The reason and the remedy are returned in RV(failures).
author: Landfall contributors (@landfall-stack)
attributes:
  check_mode:
    support: full
    description: Returns the steps that would be taken.
  diff_mode:
    support: none
    description: Keys and certificates are not shown.
options:
  certificates:
    description: The certificates that should be there, each C({name, domains}); one certificate holds all its domains.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the certificate and of its directory.
        type: str
        required: true
      domains:
        description: Its host names, the first being the subject.
        type: list
        elements: str
        required: true
  state:
    description: V(placeholder) only makes what nginx needs to start; V(present) gets the real ones.
    type: str
    choices: [placeholder, present]
    default: present
  root:
    description: The edge's directory; certificates go to C(certs/<name>) below it, challenges to C(www).
    type: path
    default: /etc/landfall/edge
  directory:
    description: The ACME directory's URL.
    type: str
    default: https://acme-v02.api.letsencrypt.org/directory
  email:
    description: Contact address for the CA; empty for none.
    type: str
    default: ""
  ca_bundle:
    description: A file with the root that signs the ACME directory's own HTTPS, for a private CA.
    type: path
  owner:
    description: Uid of the process that reads the keys.
    type: int
    default: 101
  share:
    description: Renew when this share of the lifetime is left.
    type: float
    default: 0.3333
  key_type:
    description: Kind of key.
    type: str
    choices: [ecdsa, rsa]
    default: ecdsa
  reload:
    description: The command that makes nginx read its files again, as a list of arguments.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: One certificate for two names
  landfall.stack.certificate:
    certificates:
      - {name: shop, domains: [shop.example.com, www.example.com]}
    email: ops@example.com
    reload: [docker, exec, landfall-edge, sh, -c, kill -HUP 1]
"""

RETURN = r"""
steps:
  description: What was (or would be) done for each certificate and why.
  returned: always
  type: list
  elements: dict
  sample: [{name: shop, action: issue, reason: there is none yet}]
failures:
  description: One sentence with its remedy for each certificate that could not be had.
  returned: always
  type: list
  elements: str
"""

from datetime import datetime, timezone

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.landfall.stack.plugins.module_utils.clients.certbot import CertificateError, Certificates
from ansible_collections.landfall.stack.plugins.module_utils.edge.certificates import Wanted


def main():
    module = AnsibleModule(
        argument_spec={
            "certificates": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "domains": {"type": "list", "elements": "str", "required": True},
                },
            },
            "state": {"type": "str", "choices": ["placeholder", "present"], "default": "present"},
            "root": {"type": "path", "default": "/etc/landfall/edge"},
            "directory": {"type": "str", "default": "https://acme-v02.api.letsencrypt.org/directory"},
            "email": {"type": "str", "default": ""},
            "ca_bundle": {"type": "path"},
            "owner": {"type": "int", "default": 101},
            "share": {"type": "float", "default": 0.3333},
            "key_type": {"type": "str", "choices": ["ecdsa", "rsa"], "default": "ecdsa", "no_log": False},
            "reload": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    p = module.params
    try:
        wanted = [Wanted.from_dict(one) for one in p["certificates"]]
    except ValueError as problem:
        module.fail_json(msg=str(problem))
    certificates = Certificates(
        p["root"],
        directory=p["directory"],
        email=p["email"],
        ca_bundle=p["ca_bundle"] or "",
        owner=p["owner"],
        share=p["share"],
        key_type=p["key_type"],
        reload=p["reload"],
    )
    try:
        steps = certificates.plan(wanted, datetime.now(timezone.utc))
    except CertificateError as problem:
        module.fail_json(msg=str(problem))
    if p["state"] == "placeholder":
        steps = [step for step in steps if step.reason == "there is none yet"]
    todo = [step for step in steps if step.action != "keep"]
    result = {
        "changed": bool(todo),
        "failures": [],
        "steps": [{"name": step.wanted.name, "action": step.action, "reason": step.reason} for step in steps],
    }
    if module.check_mode or not todo:
        module.exit_json(**result)
    obtained = False
    for step in todo:
        try:
            if p["state"] == "placeholder":
                certificates.placeholder(step.wanted)
            else:
                certificates.obtain(step.wanted)
                obtained = True
        except CertificateError as problem:
            result["failures"].append(str(problem))
    result["changed"] = len(result["failures"]) < len(todo)
    if obtained:
        try:
            certificates.reload()
        except CertificateError as problem:
            result["failures"].append(str(problem))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
