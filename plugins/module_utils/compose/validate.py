# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validate a Compose project with its ``x-landfall`` keys: everything that can be said without Docker.

:func:`inspect` gives the whole picture, :func:`validate` only the problems. Both are pure: texts in, values out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .cross_checks import CrossChecks
from .file_checks import check_file, key_text
from .interpolate import (
    InterpolationError,
    Variable,
    find,
    needed,
    scalars,
    service_of,
    substitute,
    variables,
)
from .merge import merge
from .model import routes_in
from .problems import ERROR, WARNING, Problem
from .schema import KEY
from .schema_check import JSONSCHEMA_ERROR
from .yamldoc import Document, Path, parse


@dataclass
class Report:
    """What a look at the files gave.

    :param problems: errors, nothing may be deployed
    :param warnings: doubts
    :param variables: every use of a variable
    :param unset: names of variables that are needed and not set, sorted
    :param documents: the files, interpolated
    :param merged: their content as one, ``{}`` when a file has a syntax error
    """

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)
    unset: list[str] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    merged: dict[str, Any] = field(default_factory=dict)

    @property
    def services(self) -> list[str]:
        return sorted(self._services())

    @property
    def domains(self) -> list[str]:
        """The stack's domains, those that could be interpolated."""
        found = (self.merged.get(KEY) or {}).get("domains") if isinstance(self.merged.get(KEY), dict) else None
        return [str(item) for item in found if item] if isinstance(found, list) else []

    @property
    def hosts(self) -> list[str]:
        """The host names that routes really use, in the order of the domains."""
        out = []
        for service in self._services().values():
            extension = service.get(KEY)
            for route in routes_in(extension) if isinstance(extension, dict) else []:
                host = route.get("host") if isinstance(route, dict) else None
                out.append(str(host or (self.domains or [""])[0]))
        order = {name: position for position, name in enumerate(self.domains)}
        return sorted({host for host in out if host}, key=lambda host: (order.get(host, len(order)), host))

    @property
    def images(self) -> dict[str, str]:
        """Service → image to be pulled; services with a ``build`` are not among them."""
        return {
            name: str(service["image"])
            for name, service in sorted(self._services().items())
            if service.get("image") and not service.get("build")
        }

    def _services(self) -> dict[str, dict[str, Any]]:
        found = self.merged.get("services")
        return {str(k): v for k, v in found.items() if isinstance(v, dict)} if isinstance(found, dict) else {}


def validate(
    files: Sequence[tuple[str, str]], env: Mapping[str, str] | None = None, known: Collection[str] = ()
) -> list[Problem]:
    """All problems of a project, errors before warnings; see :func:`inspect`."""
    report = inspect(files, env, known)
    return [*report.problems, *report.warnings]


def inspect(
    files: Sequence[tuple[str, str]], env: Mapping[str, str] | None = None, known: Collection[str] = ()
) -> Report:
    """Look at a project.

    :param files: (name, text) of the Compose files, in the order they merge
    :param env: the variables; ``None``: not known, then no variable is reported as unset
    :param known: names of variables that will be set, with values not known here (secrets)
    """
    report = Report()
    found: list[Problem] = []
    unsure: set[tuple[str, Path]] = set()
    for name, text in files:
        document, problems = parse(name, text)
        found += problems
        report.documents.append(document)
    broken = bool(found)
    for document in report.documents:
        report.variables += variables(document)
        found += _interpolate(document, env, known, unsure, report)
        found += [problem for problem in check_file(document) if not _covered(document, problem, unsure)]
    if not broken and report.documents:
        report.merged = merge(report.documents)
        found += [
            problem
            for problem in CrossChecks(report.merged, report.documents).run()
            if not any(_covered(document, problem, unsure) for document in report.documents)
        ]
    if JSONSCHEMA_ERROR is not None:
        found.append(
            Problem(
                "", None, "", KEY, "not checked: python3-jsonschema is missing", "install python3-jsonschema", WARNING
            )
        )
    order = {document.name: position for position, document in enumerate(report.documents)}
    found = sorted(set(found), key=lambda problem: (order.get(problem.file, -1), problem.line or 0, str(problem)))
    report.problems = [problem for problem in found if problem.level == ERROR]
    report.warnings = [problem for problem in found if problem.level != ERROR]
    report.unset = sorted(set(report.unset))
    return report


def _interpolate(
    document: Document,
    env: Mapping[str, str] | None,
    known: Collection[str],
    unsure: set[tuple[str, Path]],
    report: Report,
) -> list[Problem]:
    """Fill the document's variables in, in place; places whose value is not known go into ``unsure``."""
    values = dict(env or {})
    out: list[Problem] = []
    told: set[str] = set()
    for path, text in list(scalars(document)):
        service = service_of(path)
        place = (document.name, document.line(path), service, key_text(path[2:] if service else path))
        try:
            missing = [ref for ref in needed(text, values) if ref.name not in known]
            hidden = {ref.name for ref in find(text) if ref.name in known and ref.name not in values}
            unknown = hidden | {ref.name for ref in missing}
            filled = substitute(text, {**values, **{name: f"${{{name}}}" for name in unknown}})
        except InterpolationError as exc:
            unsure.add((document.name, path))
            out.append(Problem(*place, str(exc), ""))
            continue
        if unknown:
            unsure.add((document.name, path))
        _put(document.data, path, filled)
        for ref in missing if env is not None else ():
            report.unset.append(ref.name)
            if ref.name in told:
                continue
            told.add(ref.name)
            said = f" ({ref.word})" if ref.operator.endswith("?") and ref.word else ""
            fix = f"set it in the env file or in 'env', or write ${{{ref.name}:-default}}"
            out.append(Problem(*place, f"variable {ref.name} is not set{said}", fix))
    return out


def _put(data: Any, path: Path, value: str) -> None:
    for part in path[:-1]:
        data = data[part]
    data[path[-1]] = value


def _covered(document: Document, problem: Problem, unsure: set[tuple[str, Path]]) -> bool:
    """Whether a problem stands at a place whose value is not known: the variable has been reported itself."""
    if problem.file != document.name:
        return False
    for name, path in unsure:
        service = service_of(path)
        key = key_text(path[2:] if service else path)
        if name == document.name and service == problem.service and key == problem.key:
            return True
    return False
