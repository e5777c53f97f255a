# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Compose file as data that remembers its lines.

Reads YAML the way Compose does where PyYAML differs: ``22:22`` is a string and not a number in base 60,
``on``/``yes`` are strings, dates are strings, a key given twice is an error, ``!reset``/``!override`` are known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

try:
    import yaml

    YAML_ERROR: str | None = None
except ImportError as exc:  # the module says so with the package's name
    yaml = None  # type: ignore[assignment]
    YAML_ERROR = str(exc)

from .problems import Problem

#: Where a value stands: the keys and list positions that lead to it.
Path = tuple[Any, ...]

RESET = "!reset"
OVERRIDE = "!override"


@dataclass
class Document:
    """One parsed Compose file.

    :param data: plain dicts, lists and scalars; ``{}`` for an empty file
    :param lines: path → line (from 1) where the key or list item begins
    :param tags: path → ``!reset`` or ``!override``
    """

    name: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[Path, int] = field(default_factory=dict)
    tags: dict[Path, str] = field(default_factory=dict)

    def line(self, path: Path) -> int | None:
        """The line of ``path``, or of the nearest place around it that the file has."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None


class _Refused(Exception):
    def __init__(self, line: int, message: str, fix: str) -> None:
        super().__init__(message)
        self.line, self.message, self.fix = line, message, fix


def parse(name: str, text: str) -> tuple[Document, list[Problem]]:
    """Parse one file. On a syntax error the document is empty and one problem says where and what to do."""
    document = Document(name)
    try:
        loader = _loader(text)
        try:
            node = loader.get_single_node()
            data = None if node is None else _Builder(document, loader).build(node, (), ())
        finally:
            loader.dispose()
    except yaml.YAMLError as exc:
        return Document(name), [_syntax(name, text, exc)]
    except _Refused as exc:
        return Document(name), [Problem(name, exc.line, "", "", exc.message, exc.fix)]
    if data is None:
        data = {}
    if not isinstance(data, dict):
        return Document(name), [
            Problem(name, 1, "", "", f"the file holds a {_kind(data)}, not a mapping", "begin with 'services:'")
        ]
    document.data = data
    return document, []


def _kind(value: Any) -> str:
    return "list" if isinstance(value, list) else "single value"


class _Builder:
    """Nodes → data; YAML's own constructor forgets the lines."""

    def __init__(self, document: Document, loader: Any) -> None:
        self.document = document
        self.loader = loader

    def build(self, node: Any, path: Path, above: tuple[int, ...]) -> Any:
        if id(node) in above:
            raise _Refused(node.start_mark.line + 1, "an alias that holds itself", "write the value out")
        above = (*above, id(node))
        self.document.lines.setdefault(path, node.start_mark.line + 1)
        if node.tag in (RESET, OVERRIDE):
            self.document.tags[path] = node.tag
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, above)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index), above) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _scalar(self, node: Any) -> Any:
        tag = node.tag
        if not tag.startswith("tag:yaml.org,2002:"):
            tag = self.loader.resolve(yaml.ScalarNode, node.value, (True, False))
        if tag == "tag:yaml.org,2002:binary":
            return node.value
        try:
            return self.loader.construct_object(yaml.ScalarNode(tag, node.value, node.start_mark, node.end_mark))
        except (ValueError, yaml.constructor.ConstructorError):
            return node.value

    def _mapping(self, node: Any, path: Path, above: tuple[int, ...]) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        merged: list[Any] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise _Refused(
                    line,
                    "a key that is itself a list or mapping",
                    "put quotes around it; '{{ x }}' of a template must be rendered before",
                )
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged.append(value_node)
                continue
            key = self._scalar(key_node)
            if key in out:
                first = self.document.lines[(*path, key)]
                raise _Refused(line, f"the key '{key}' is given twice, first in line {first}", "keep one of them")
            self.document.lines[(*path, key)] = line
            out[key] = self.build(value_node, (*path, key), above)
        for source in merged:
            for item in source.value if isinstance(source, yaml.SequenceNode) else [source]:
                extra = self.build(item, (*path, "<<"), above)
                for key, value in extra.items() if isinstance(extra, dict) else ():
                    out.setdefault(key, value)
        return out


def _loader(text: str) -> Any:
    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {
            first: [(tag, regexp) for tag, regexp in pairs if tag.rsplit(":", 1)[1] in ("null", "merge")]
            for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    word = "tag:yaml.org,2002:"
    Loader.add_implicit_resolver(word + "bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
    Loader.add_implicit_resolver(
        word + "int", re.compile(r"^[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$"), list("-+0123456789")
    )
    Loader.add_implicit_resolver(
        word + "float", re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$"), list("-+.0123456789")
    )
    return Loader(text)


def _syntax(name: str, text: str, exc: Any) -> Problem:
    mark = getattr(exc, "problem_mark", None)
    line = None if mark is None else mark.line + 1
    said = str(getattr(exc, "problem", None) or exc).split("\n", 1)[0]
    source = text.splitlines()[mark.line] if mark is not None and mark.line < len(text.splitlines()) else ""
    return Problem(name, line, "", "", f"not valid YAML: {said}", _remedy(said, source))


def _remedy(said: str, source: str) -> str:
    """What a person does about one of PyYAML's messages."""
    if "\\t" in said or "tab" in said or source.lstrip(" ").startswith("\t"):
        return "indent with spaces, never with tabs"
    if "{{" in source or "{%" in source:
        return "this looks like a Jinja2 template: render it first (name it .j2)"
    if "mapping values are not allowed" in said:
        return "put the value in quotes when it holds ': ', or check the indentation of this line and the one before"
    if "could not find expected ':'" in said:
        return "a key is missing its ':' in this line or the one before"
    if "expected <block end>" in said:
        return "indent this line like its neighbours"
    if "undefined alias" in said:
        return "define the anchor with & before it is used with *"
    if "cannot start any token" in said:
        return "put the value in quotes: it begins with a character YAML keeps for itself"
    if "while scanning a quoted" in said or "unexpected end of stream" in said:
        return "close the quote that was opened"
    if "expected ',' or" in said and "${" in source:
        return "put quotes around a ${VARIABLE} that stands inside of brackets"
    if "expected ',' or" in said:
        return "close the bracket, or put the missing ',' in"
    return "check the indentation, quotes and brackets of this line and the one before"
