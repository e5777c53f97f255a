#!/usr/bin/python
# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roll a Compose project to a new release, or back to a kept one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout
short_description: Roll a Compose project to a new release, or back to a kept one
version_added: 0.1.0
description:
  - Writes the project with its environment, secrets and image digests to a release directory of its own. Then, wave
    after wave of the dependency graph, new containers are created by Compose beside the old ones, pass their gates,
    get their requests by one switch of the edge that is proven, and only then the old ones are drained, stopped and
    removed. Services that cannot run twice are stopped first, and named with the reason.
  - A project that Compose or the C(x-landfall) schema refuses, or an image that cannot be had, changes nothing. When
    a gate, a hook, the error rate after the switch, or the operator's interrupt says so, all services that were
    replaced go back to the release before, in reverse order, and the task fails with what was observed. A first
    deployment that fails is stopped, and left for inspection.
  - Running it again without a change of content changes nothing, unless containers are gone or were changed by hand;
    then they are repaired.
  - A run that was killed is recognised and finished by the next one. Two runs on one stack wait for each other.
  - Relative bind mounts work for what the release ships (see O(include)). A relative path that is not shipped is data,
    and is kept in C(data/) of the stack's directory, where releases do not touch it.
author:
  - Landfall contributors (@landfall-stack)
extends_documentation_fragment:
  - landfall.stack.rollout
requirements:
  - Docker Engine and Docker Compose 2.26 or newer on the host
  - python3-docker on the host
  - PyYAML on the host; with jsonschema the C(x-landfall) keys are validated
attributes:
  check_mode:
    description: Returns the plan, which services change, why and how; on a bare host what can be said without Docker.
    support: full
  diff_mode:
    description: Shows the plan, the change of the Compose files, and the names of changed variables.
    support: full
options:
  stack:
    description: Name of the stack and of its Compose project. Lower-case letters, digits, C(-) and C(_).
    type: str
    required: true
  state:
    description:
      - V(deployed) brings the project in O(src).
      - V(rolled_back) brings back the release before the current one, or O(release), from what the host kept of it.
    type: str
    choices: [deployed, rolled_back]
    default: deployed
  release:
    description:
      - With O(state=rolled_back) the id of a kept release, or a version, which means the newest kept release of it.
      - When not given, the release before the current one.
    type: str
    default: ""
  src:
    description: The project's directory on the controller. Required with O(state=deployed).
    type: path
  files:
    description:
      - Compose files in the order they merge, relative to O(src).
      - A name that ends in C(.j2) is rendered with Ansible's templating and stored without that ending.
      - When not given, C(compose.yaml), C(compose.yml), C(docker-compose.yaml) or C(docker-compose.yml),
        whichever is there.
    type: list
    elements: str
    default: []
  include:
    description:
      - What else belongs to the release, as globs relative to O(src), for instance V(config/**); a directory stands for
        all that is in it. Name what Compose mounts or reads by relative paths, and with O(build) the build contexts.
      - C(.git) directories are left out. A pattern that matches nothing is an error.
    type: list
    elements: str
    default: []
  env:
    description: Variables for the project's C(${...}). They win over O(env_file). Put what is secret into O(secrets).
    type: dict
    default: {}
  env_file:
    description: An env file on the controller, relative to O(src) or absolute, vault-encrypted or not.
    type: path
  secrets:
    description:
      - Secrets with values of yours, from a vault. Each becomes a file of mode 0400 in the stack's C(secrets/)
        directory, which the project reaches as C(${LANDFALL_SECRETS}/<name>), for instance in C(secrets.<key>.file).
      - A new value is a new release, and restarts the services that read the file.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the secret.
        type: str
        required: true
      value:
        description: Its value. Empty is allowed only for a name that O(generate_secrets) has too.
        type: str
        required: true
      env:
        description: Make it a variable of the project too. When not given, names in capitals are.
        type: bool
      owner:
        description: The uid that reads the file.
        type: int
        default: 0
  generate_secrets:
    description: Secrets that are made up on the host when missing, and kept for ever after. A value in O(secrets) wins.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the secret.
        type: str
        required: true
      bytes:
        description: Bytes of randomness, at least 32. The text is longer, being base64.
        type: int
        default: 48
      env:
        description: Make it a variable of the project too. When not given, names in capitals are.
        type: bool
      owner:
        description: The uid that reads the file.
        type: int
        default: 0
  second_keys:
    description:
      - Secret to the name of its second key, which the services accept and never sign with; empty until
        M(landfall.stack.rotation) rotates it. A name without a second key is passed over.
    type: dict
    default: {}
  version:
    description: What is deployed, for the record, and as C(VERSION) for the project unless O(env) sets that.
    type: str
    default: ""
  profiles:
    description: Compose profiles to switch on.
    type: list
    elements: str
    default: []
  pull:
    description: V(missing) pulls what is not on the host, V(always) looks for a newer image under the same name too.
    type: str
    choices: [missing, always, never]
    default: missing
  build:
    description: Build services with a C(build) section on the host. When V(false) their C(image) is pulled.
    type: bool
    default: false
  migrate:
    description: Run the hooks C(migrate) and C(post_deploy). Of several hosts on one database, one shall run them.
    type: bool
    default: true
  keep:
    description: Releases to keep. When not given, the project's C(x-landfall.releases.keep), else 5.
    type: int
  commit:
    description: The commit, for the record. When not given, asked of git in O(src).
    type: str
    default: ""
  who:
    description: Who deploys, for the record. When not given, user and name of the controller.
    type: str
    default: ""
  payload:
    description: Set by the action plugin.
    type: str
  payload_file:
    description: Set by the action plugin.
    type: path
"""

EXAMPLES = r"""
- name: Deploy the stack
  landfall.stack.rollout:
    stack: jarvis
    src: "{{ playbook_dir }}/../examples/jarvis"
    files: [compose.yaml, compose.prod.yaml]
    version: 1.4.2
    env:
      REGISTRY: registry.example.com
    secrets:
      - {name: GOOGLE_API_KEY, value: "{{ vault_google_api_key }}"}
    generate_secrets:
      - {name: JWT_SECRET_KEY}

- name: Go back to the release before
  landfall.stack.rollout:
    stack: jarvis
    state: rolled_back

- name: Build on the host, with configuration files mounted by relative paths
  landfall.stack.rollout:
    stack: shop
    src: /srv/checkout/shop
    include: [config/**, app]
    build: true
"""

RETURN = r"""
release:
  description: Id of the release that runs, or that would.
  returned: success
  type: str
previous:
  description: Id of the release before, V(null) for a first one.
  returned: when deployed
  type: str
why:
  description: Why something was done; empty when there was nothing to do.
  returned: success
  type: str
digest:
  description: Digest of the release's content.
  returned: success
  type: str
plan:
  description: The plan in lines, one for each service that changes, with wave, strategy and reason.
  returned: success or failure, when the project could be read on the host
  type: list
  elements: str
  sample: ["wave 1: api: rolling, 2 new, then 2 old go (image api:1.4.1 -> api:1.4.2)", "stays: db, web"]
waves:
  description:
    - For each wave its C(services), and in seconds C(healthy_s) and C(switched_s) since it began, C(app_s) of the
      applications' own start-up, C(start_s) of Docker's starting their containers, C(hooks_s), C(hold_s) of canary
      steps, C(switch_s), and C(overhead_s) of all but start-up, hooks and holding.
  returned: when deployed
  type: list
  elements: dict
services:
  description:
    - Services with C(service), C(replicas), C(healthy), C(containers), C(image), C(pinned).
    - Those that were replaced also with C(strategy), C(reason), C(changes), C(old), C(new), C(kept), their C(health)
      history and C(drain) (old container to C(drained), C(drain_s), C(gone_s)).
  returned: when deployed
  type: list
  elements: dict
timings:
  description: >-
    Seconds in all, C(total_s), and of it C(app_s), C(start_s), C(hooks_s), C(bake_s), C(drain_s), and C(overhead_s) of
    the rest, which is Landfall's own; number of C(waves).
  returned: when deployed
  type: dict
observed:
  description: The containers as Docker reported them after the last step.
  returned: when deployed
  type: list
  elements: dict
routes_changed:
  description: Whether the routes file was written anew, so that the edge must be told.
  returned: success
  type: bool
routes_file:
  description: The routes file on the host.
  returned: success
  type: str
env_changes:
  description: Names of variables C(added), C(changed) and C(removed).
  returned: success
  type: dict
secrets_generated:
  description: Names of secrets made up in this run.
  returned: success
  type: list
  elements: str
pruned:
  description: Old C(releases) and C(images) that were removed.
  returned: when deployed
  type: dict
steps:
  description: The steps taken, as they stand in the journal.
  returned: when deployed
  type: list
  elements: str
evidence:
  description: What was observed of the containers that failed.
  returned: on failure of the deployment
  type: dict
rolled_back_to:
  description: Id of the release that was started again, V(null) when there was none.
  returned: on failure of the deployment
  type: str
"""

import base64
import errno
import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.landfall.stack.plugins.module_utils.clients.files import StackBusy
from ansible_collections.landfall.stack.plugins.module_utils.clients.host import back, effects_for, yaml_missing
from ansible_collections.landfall.stack.plugins.module_utils.clients.interrupts import Interrupts
from ansible_collections.landfall.stack.plugins.module_utils.rollout.deploy import Deployment
from ansible_collections.landfall.stack.plugins.module_utils.rollout.errors import Interrupted
from ansible_collections.landfall.stack.plugins.module_utils.rollout.payload import Payload, unpack
from ansible_collections.landfall.stack.plugins.module_utils.rollout.plan import Refused
from ansible_collections.landfall.stack.plugins.module_utils.rollout.release import check_stack_name
from ansible_collections.landfall.stack.plugins.module_utils.rollout.report import diff_of
from ansible_collections.landfall.stack.plugins.module_utils.rollout.request import Request, Secret
from ansible_collections.landfall.stack.plugins.module_utils.rollout.run import DeployFailed

ARGUMENTS = {
    "stack": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["deployed", "rolled_back"], "default": "deployed"},
    "release": {"type": "str", "default": ""},
    "src": {"type": "path"},
    "files": {"type": "list", "elements": "str", "default": []},
    "include": {"type": "list", "elements": "str", "default": []},
    "env": {"type": "dict", "default": {}},
    "env_file": {"type": "path"},
    "secrets": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "no_log": False,
        "options": {
            "name": {"type": "str", "required": True},
            "value": {"type": "str", "required": True, "no_log": True},
            "env": {"type": "bool"},
            "owner": {"type": "int", "default": 0},
        },
    },
    "generate_secrets": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "no_log": False,
        "options": {
            "name": {"type": "str", "required": True},
            "bytes": {"type": "int", "default": 48},
            "env": {"type": "bool"},
            "owner": {"type": "int", "default": 0},
        },
    },
    # Names only.
    "second_keys": {"type": "dict", "default": {}, "no_log": False},
    "version": {"type": "str", "default": ""},
    "profiles": {"type": "list", "elements": "str", "default": []},
    "root": {"type": "path", "default": "/opt/landfall"},
    "routes_dir": {"type": "path", "default": "/etc/landfall/edge/stacks"},
    "pull": {"type": "str", "choices": ["missing", "always", "never"], "default": "missing"},
    "build": {"type": "bool", "default": False},
    "wait_deadline": {"type": "int", "default": 120},
    "migrate": {"type": "bool", "default": True},
    "lock_timeout": {"type": "int", "default": 60},
    "keep": {"type": "int"},
    "commit": {"type": "str", "default": ""},
    "who": {"type": "str", "default": ""},
    "payload": {"type": "str", "no_log": True},
    "payload_file": {"type": "path"},
}


def read_payload(params: dict) -> Payload:
    """The project as the action plugin sent it."""
    if params["payload"]:
        return unpack(base64.b64decode(params["payload"]))
    if params["payload_file"]:
        with open(params["payload_file"], "rb") as file:
            return unpack(file.read())
    raise Refused("no project arrived: landfall.stack.rollout runs through its action plugin, in a task of a play")


def secrets_of(params: dict) -> tuple[Secret, ...]:
    """Given and generated secrets as one list. :raises Refused: too short, empty, or given twice."""
    given = {item["name"]: item for item in params["secrets"]}
    made = {item["name"]: item for item in params["generate_secrets"]}
    if len(given) < len(params["secrets"]) or len(made) < len(params["generate_secrets"]):
        raise Refused("secrets, generate_secrets: a name stands there twice; keep one of them")
    out = []
    for name, item in sorted({**made, **given}.items()):
        value = item.get("value") or None
        if value is None and name not in made:
            raise Refused(f"secret {name} is empty: give it a value, or list it in generate_secrets")
        nbytes = made[name]["bytes"] if name in made else 0
        if name in made and nbytes < 32:
            raise Refused(f"generate_secrets {name}: {nbytes} bytes are too few, give at least 32")
        env = name.isupper() if item["env"] is None else item["env"]
        out.append(Secret(name, value, nbytes, env, item["owner"]))
    return (*out, *seconds_of(params["second_keys"], {one.name: one for one in out}))


def seconds_of(second_keys: dict, known: dict[str, Secret]) -> list[Secret]:
    """The second keys that nobody gave a value, each read by who reads the first. :raises Refused: there is no first"""
    out = []
    for name, second in sorted(second_keys.items()):
        if not second or second in known:
            continue
        if name not in known:
            raise Refused(f"second_keys: {name} is no secret of the stack: name it in secrets or generate_secrets")
        first = known[name]
        out.append(Secret(second, None, 0, second.isupper() if first.env else False, first.owner))
    return out


def request_of(params: dict, payload: Payload) -> Request:
    """The module's parameters as the engine's request."""
    return Request(
        stack=check_stack_name(params["stack"]),
        files=payload.files,
        compose_files=tuple(params["files"]),
        executable=payload.executable,
        env=payload.env,
        env_file=payload.env_file,
        secrets=secrets_of(params),
        version=params["version"],
        profiles=tuple(params["profiles"]),
        pull=params["pull"],
        build=params["build"],
        deadline=float(params["wait_deadline"]),
        keep=params["keep"],
        who=params["who"],
        commit=params["commit"],
        migrate=params["migrate"],
    )


def deploy(module: AnsibleModule, interrupts: Interrupts) -> dict:
    """Decide, and carry out unless in check mode; the module's result."""
    params = module.params
    request = request_of(params, read_payload(params))
    fx = effects_for(params["root"], params["routes_dir"], request.stack, interrupts)
    deployment = Deployment(request, fx)
    missing = fx.docker.available() or yaml_missing()

    def decided(create_key: bool) -> tuple:
        decision = deployment.decide(fx.store.key(create_key), missing is None)
        if not decision.changed and decision.current and params["pull"] == "always" and not module.check_mode:
            moved = deployment.images.moved(decision.current)
            if moved:
                decision = decision.because("newer images: " + ", ".join(moved))
        common = {
            "changed": decision.changed,
            "stack": request.stack,
            "digest": decision.digest,
            "why": decision.why,
            "env_changes": decision.env_changes,
            "routes_file": os.path.join(params["routes_dir"], f"{request.stack}.json"),
            "routes_changed": False,
            "secrets_generated": list(decision.generated),
            "release": decision.current.id if decision.current and not decision.changed else None,
        }
        if module._diff and decision.changed:
            common["diff"] = diff_of(decision, request, fx.store)
        return decision, common

    decision, common = decided(False)
    if not decision.changed and (module.check_mode or not deployment.untidy()):
        return common
    if missing is None:
        # A project that is refused leaves nothing behind, not even the stack's directory. Where that is already,
        # the release is checked as it is staged.
        if module.check_mode or decision.current is None:
            deployment.check_project(fx.store.key(False), decision if module.check_mode else None)
    elif not module.check_mode:
        raise Refused(
            f"{missing}. Install it (roles landfall.stack.docker and landfall.stack.stack), then deploy again"
        )
    if module.check_mode:
        if missing is not None:
            module.warn(f"the project was not validated on the host: {missing}")
        common["plan"] = deployment.run.plan_lines
        if module._diff and deployment.run.plan_lines:
            lines = "".join(f"{line}\n" for line in deployment.run.plan_lines)
            common["diff"] = [{"prepared": lines}, *common.get("diff", [])]
        return common
    fx.store.prepare()
    with fx.store.lock(params["who"] or "landfall", fx.now(), params["lock_timeout"]):
        interrupts.install()
        # What another deploy took is none of this one's time.
        deployment.run.began = fx.monotonic()
        decision, common = decided(True)
        if not decision.changed:
            deployment.tidy(decision)
            return common
        try:
            return {**common, **deployment.apply(decision)}
        finally:
            for text in deployment.run.warnings:
                module.warn(text)


def roll_back(module: AnsibleModule, _interrupts: Interrupts) -> dict:
    """Bring a kept release back; the module's result."""
    params = module.params
    return back(
        params["root"],
        params["routes_dir"],
        check_stack_name(params["stack"]),
        params["release"],
        params["who"],
        float(params["wait_deadline"]),
        params["lock_timeout"],
        module.check_mode,
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS, supports_check_mode=True, required_if=[("state", "deployed", ["src"])]
    )
    work = deploy if module.params["state"] == "deployed" else roll_back
    try:
        module.exit_json(**work(module, Interrupts()))
    except DeployFailed as problem:
        module.fail_json(msg=str(problem), **problem.result)
    except (Refused, StackBusy, ValueError) as problem:
        module.fail_json(msg=str(problem))
    except Interrupted as problem:
        module.fail_json(
            msg=f"stack {module.params['stack']}: interrupted ({problem}). Run again: what was begun is finished then"
        )
    except OSError as problem:
        where = problem.filename or module.params["root"]
        full = problem.errno == errno.ENOSPC
        hint = "free some space ('docker system df' shows what images take)" if full else "check the host's file system"
        module.fail_json(
            msg=f"stack {module.params['stack']}: {where}: {problem.strerror}. To go on, {hint}, and deploy again: "
            "a release that was begun is finished then"
        )


if __name__ == "__main__":
    main()
