# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the HTML pages share: one file each that a browser shows without a script. Pure.

Nothing is loaded from elsewhere; light and dark follow the reader's system.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

#: Colour → (light, dark).
COLOURS = {
    "page": ("#fff", "#0d1117"),
    "text": ("#1f2328", "#e6edf3"),
    "faint": ("#59636e", "#9198a1"),
    "line": ("#d1d9e0", "#3d444d"),
    "bad": ("#c62828", "#ff6b60"),
}
BASE = """
body { margin: 0 auto; max-width: 1120px; padding: 24px 20px 48px; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
h1 { font-size: 22px; margin: 0 } h2 { font-size: 16px; margin: 28px 0 8px }
h3 { font-size: 15px; margin: 16px 0 4px } p { margin: 4px 0 } figure { margin: 0 }
.faint { color: var(--faint) } .bad { color: var(--bad) } .wide { overflow-x: auto }
svg { display: block; width: 100%; min-width: 720px; height: auto; font-size: 12px } svg .grid { stroke: var(--line) }
ul.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 8px 0; padding: 0;
  font-size: 13px }
ul.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 2px; margin-right: 6px }
table { border-collapse: collapse; width: 100%; font-size: 14px }
th, td { text-align: left; vertical-align: top; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line) }
th { color: var(--faint); font-weight: 500 } td.number, th.number { text-align: right; white-space: nowrap }
pre { overflow-x: auto; margin: 6px 0; padding: 10px 12px; border: 1px solid var(--line); border-radius: 6px;
  font-size: 13px; white-space: pre-wrap; overflow-wrap: anywhere } pre.bad { border-color: var(--bad) }
"""


def style(colours: Mapping[str, tuple[str, str]], own: str = "", kinds: Iterable[str] = ()) -> str:
    """The text of a page's ``<style>``.

    :param colours: the page's own, name → (light, dark)
    :param own: its own rules
    :param kinds: colours that are also classes of what is drawn in them
    """
    every = {**COLOURS, **colours}
    light, dark = ("; ".join(f"--{name}: {pair[side]}" for name, pair in every.items()) for side in (0, 1))
    lines = [
        f":root {{ color-scheme: light dark; {light} }}",
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}",
        BASE.strip(),
        own.strip(),
        *(f".{kind} {{ fill: var(--{kind}); background: var(--{kind}) }}" for kind in kinds),
    ]
    return "\n".join(["", *(line for line in lines if line), ""])


def document(title: str, styled: str, parts: Iterable[str]) -> str:
    """A whole page. :param title: as text; :param styled: what :func:`style` gave; :param parts: HTML of the body"""
    head = [
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>\n<style>{styled}</style></head>\n<body>",
    ]
    return "\n".join([*head, *parts, "</body>\n</html>\n"])
