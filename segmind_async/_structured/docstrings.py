"""Read a function's summary and its parameters' descriptions from a docstring, in the three usual styles."""

from __future__ import annotations

import inspect
import re

_GOOGLE = re.compile(r"^(?:Args|Arguments|Parameters):\s*$")
_GOOGLE_ITEM = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")
_NUMPY = re.compile(r"^(?:Other )?Parameters\s*$")
_NUMPY_ITEM = re.compile(r"^(\w+(?:\s*,\s*\w+)*)\s*(?::.*)?$")
_SPHINX_ITEM = re.compile(r"^:param\s(?:[^:]*\s)?(\w+)\s*:\s*(.*)$")
"""One blank only before the group: two parts that both take blanks would be quadratic in them."""


def summary_of(docstring: str | None) -> str:
    """Return the first paragraph, in one line; empty without a docstring."""
    text = inspect.cleandoc(docstring or "")
    return " ".join(re.split(r"\n\s*\n", text, maxsplit=1)[0].split())


def parameters_of(docstring: str | None) -> dict[str, str]:
    """Return the descriptions of parameters by name: Google's `Args:`, NumPy's and Sphinx's style."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    found: dict[str, str] = {}
    for number, line in enumerate(lines):
        if _GOOGLE.match(line):
            found.update(_google(lines, number + 1))
        elif _NUMPY.match(line) and number + 1 < len(lines) and set(lines[number + 1].strip()) == {"-"}:
            found.update(_numpy(lines, number + 2))
    return {**found, **_sphinx(lines)}


def _google(lines: list[str], start: int) -> dict[str, str]:
    """Read indented items from line *start* up to the next line without indentation."""
    indented = []
    for number in range(start, len(lines)):
        line = lines[number]
        if line and not line[0].isspace():
            break
        indented.append(line)
    margin = min((_indent(line) for line in indented if line.strip()), default=0)
    return _items([line[margin:] for line in indented], _GOOGLE_ITEM)


def _numpy(lines: list[str], start: int) -> dict[str, str]:
    """Read items without indentation from line *start*, texts indented, up to the next underlined heading."""
    found: dict[str, str] = {}
    names: list[str] = []
    for number in range(start, len(lines)):
        line = lines[number]
        if number + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[number + 1].strip()):
            break
        if line[:1].isspace():
            found.update({name: _joined(found.get(name, ""), line) for name in names})
        elif (item := _NUMPY_ITEM.match(line)) is not None:
            names = [name.strip() for name in item.group(1).split(",")]
    return found


def _sphinx(lines: list[str]) -> dict[str, str]:
    first = next((n for n, line in enumerate(lines) if line.startswith(":")), len(lines))
    return _items(lines[first:], _SPHINX_ITEM)


def _items(lines: list[str], pattern: re.Pattern[str]) -> dict[str, str]:
    """Read items without indentation; indented lines below belong to their item."""
    found: dict[str, str] = {}
    name = ""
    for line in lines:
        item = None if line[:1].isspace() else pattern.match(line)
        if item is not None:
            name = str(item.group(1))
            found[name] = str(item.group(2)).strip()
        elif not line.strip() or not line[0].isspace():
            name = ""
        elif name:
            found[name] = _joined(found[name], line)
    return found


def _joined(text: str, line: str) -> str:
    return f"{text} {line.strip()}".strip()


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
