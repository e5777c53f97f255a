"""What is taken out of a copy of the collection, and which test of tests/e2e/test_3_rollout.py has to notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

UTILS = "plugins/module_utils"
EXECUTOR = f"{UTILS}/rollout/executor.py"
CREATING = f"{UTILS}/rollout/creating.py"
STARTING = f"{UTILS}/rollout/starting.py"
SHIFTING = f"{UTILS}/rollout/shifting.py"
RETIRING = f"{UTILS}/rollout/retiring.py"
WATCHING = f"{UTILS}/rollout/watching.py"
WAY_BACK = f"{UTILS}/rollout/way_back.py"
GATES = f"{UTILS}/rollout/gates.py"


@dataclass(frozen=True)
class Edit:
    """Replace ``old``, which stands in the file once, by ``new``."""

    path: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        """:raises ValueError: the file does not hold ``old`` exactly once; the catalogue has to follow the code"""
        file = root / self.path
        text = file.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.path} holds {text.count(self.old)} times: {self.old!r}")
        file.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True)
class Trial:
    """One protection. ``case``: of the twelve; ``tests``: pytest's ``-k``; ``first``: deploy once with it, so that what
    the edge and the relay run is without the protection before the test begins."""

    name: str
    case: int
    about: str
    tests: str
    edits: tuple[Edit, ...]
    first: bool = False


DRAIN = Edit(
    RETIRING,
    '        drained = one.status != "running" or self._drain(service, strategy, one, since)',
    "        drained = True",
)

TRIALS = (
    Trial(
        "stopped-before-the-switch", 1, "the old get SIGTERM while requests are still sent there", "drops_nothing",
        (Edit(
            SHIFTING,
            '        self.switching.switch(f"wave {number} switched", clock)\n        for one, going in retire:\n',
            "        for _one, going in retire:\n            for item in going:\n"
            "                self.fx.docker.stop_one(item, 10)\n"
            '        self.switching.switch(f"wave {number} switched", clock)\n        for one, going in retire:\n',
        ),),
    ),
    Trial(
        "names-stay", 2, "new containers are found by the service's name before they are ready", "relay_only",
        (
            Edit(CREATING, "            own = [one.name]\n", "            continue\n            own = [one.name]\n"),
            Edit(f"{UTILS}/rollout/planner.py",
                 "    if want.strategy.relayed and set(want.names) & set(one.aliases):\n", "    if False:\n"),
        ),
    ),
    Trial(
        "no-relay", 2, "calls inside the stack go straight to containers", "relay_only",
        (Edit(f"{UTILS}/rollout/strategy.py",
              '    if wish == "direct" or (wish is None and not called):', "    if True:"),),
    ),
    Trial(
        "no-gates", 2, "nobody waits for health", "bad_releases and health",
        (Edit(STARTING, "        if not any(names.values()):\n            return\n", "        return\n"),),
    ),
    Trial(
        "idle-connections-end", 3, "a reload closes idle connections", "drops_nothing",
        (
            Edit(f"{UTILS}/edge/render.py", "    if features.keepalive_min_timeout:", "    if False:"),
            Edit(f"{UTILS}/relay/render.py", "if features.keepalive_min_timeout else []", "if False else []"),
        ),
        first=True,
    ),
    Trial(
        "no-proof-no-drain", 4, "a reload is believed as soon as it is sent, and nothing is drained", "drops_nothing",
        (
            Edit(f"{UTILS}/edge/switch.py",
                 "    proof = proof or Proof()\n    began, row, last = clock.now(), 0, None\n",
                 "    return 0.0\n    proof = proof or Proof()\n    began, row, last = clock.now(), 0, None\n"),
            DRAIN,
        ),
    ),
    Trial(
        "addresses-are-kept", 5, "nginx keeps the addresses it once found", "places",
        (
            Edit(f"{UTILS}/edge/render.py", "valid={settings.resolver_valid}", "valid=3600s"),
            Edit(f"{UTILS}/relay/render.py", "valid=2s", "valid=3600s"),
        ),
        first=True,
    ),
    Trial("no-drain", 6, "open connections are cut at the switch", "open_connections", (DRAIN,)),
    Trial(
        "weak-gate", 7, "a port that nobody listens on passes", "bad_releases and closed",
        (
            Edit(GATES, "    closed = _closed(one, passage, want, world)\n", "    closed = ''\n"),
            Edit(GATES, "        silent = _answers(one, want, world)\n", "        silent = ''\n"),
        ),
    ),
    Trial(
        "debris-stays", 8, "what a killed run left is not cleared", "killed_and_run_again and started",
        (Edit(EXECUTOR, "        if debris:\n", "        if False:\n"),),
    ),
    Trial(
        "hook-again", 8, "a migration that is under way is not recognised", "migration_runs_once",
        (Edit(f"{UTILS}/rollout/hooks.py", "    found = fx.docker.inspect([name])\n    if not found:",
              "    import os\n    name += f'-{os.getpid()}'\n    found = fx.docker.inspect([name])\n"
              "    if not found:"),),
    ),
    Trial(
        "deaf", 8, "the engine does not hear that its operator is gone", "ctrl_c",
        (Edit(f"{UTILS}/clients/interrupts.py", "        if poll.poll() and not self._late:", "        if False:"),),
    ),
    Trial(
        "no-lock", 9, "two deploys at once", "two_deploys",
        (Edit(f"{UTILS}/clients/files.py",
              "                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)\n                    break",
              "                    break"),),
    ),
    Trial(
        "others-keep-it", 10, "a host keeps what another one could not get", "all_hosts",
        (Edit("playbooks/deploy.yml",
              "        - __deploy_missing | length > 0\n        - not ansible_check_mode\n", "        - false\n"),),
    ),
    Trial(
        "twice", 11, "what cannot run twice is started twice", "twice",
        (Edit(f"{UTILS}/rollout/strategy.py", "    never, unwise = [], []\n", "    return [], []\n"),),
    ),
    Trial(
        "env-of-now", 12, "a rollback brings the image back and not the variables", "rollback_brings",
        (Edit(WAY_BACK, "        self.store.restore_secrets(record.secret_digests)\n",
              "        if standing and standing.id != record.id:\n"
              "            now = self.store.read(standing.id, 'env').splitlines()\n"
              "            was = self.store.read(record.id, 'env').splitlines()\n"
              "            kept = [line for line in was if line.startswith('VERSION=')]\n"
              "            kept += [line for line in now if not line.startswith('VERSION=')]\n"
              "            self.store.write(record.id, 'env', '\\n'.join(kept) + '\\n')\n"
              "        self.store.restore_secrets(record.secret_digests)\n"),),
    ),
    Trial(
        "no-bake", 7, "nobody watches a version after its switch", "serves_badly",
        (Edit(WATCHING, "        if not self.context.options.bake or ", "        if True or "),),
    ),
)  # fmt: skip
