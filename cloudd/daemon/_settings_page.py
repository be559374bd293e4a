# -*- test-case-name: tests.daemon.test_settings_page -*-
"""The tables of ``docs/settings.md``, made from the settings' classes: ``python -m cloudd.daemon._settings_page``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

import attrs

from .settings import section_classes


def settings_tables() -> str:
    """A heading and a table for each table of the settings file, in Markdown."""
    return "\n".join(line for name, section in section_classes().items() for line in _section(name, section))


def _section(name: str, section: type[attrs.AttrsInstance]) -> Iterator[str]:
    yield f"## [{name}]\n\n{inspect.getdoc(section)}\n"
    yield "| Key | Default | Unit or form | Range | Meaning | On SIGHUP |"
    yield "|---|---|---|---|---|---|"
    for key in attrs.fields(section):
        facts = key.metadata
        cells = [
            f"`{key.name}`",
            f"`{_toml(key.default)}`",
            facts["unit"],
            _range(facts),
            facts["meaning"],
            "yes" if facts["reload"] else "",
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _range(facts: Any) -> str:
    low, high = facts["minimum"], facts["maximum"]
    return "" if low is None or high is None else f"{low} to {high}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    sys.stdout.write(settings_tables())
