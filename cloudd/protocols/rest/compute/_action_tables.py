# -*- test-case-name: tests.protocols.rest.compute.test_server_actions -*-
"""The tables of server actions in ``docs/compute.md``, from the declarations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ._server_actions import ABSENT_ACTIONS, ACTIONS, Action
from ._versions import NEWEST, OLDEST, text_of


def action_tables() -> str:
    """Two Markdown tables: what is served, and what answers 501."""
    return "\n".join([*_table("What it does", ACTIONS), "", *_table("What it would be", ABSENT_ACTIONS), ""])


def _table(title: str, actions: Mapping[str, Action]) -> Iterator[str]:
    yield f"| Action | {title} | Versions |"
    yield "|---|---|---|"
    for name, action in actions.items():
        yield f"| `{name}` | {action.what} | {_versions(action)} |"


def _versions(action: Action) -> str:
    if action.last != NEWEST:
        return f"to {text_of(action.last)}"
    return "all" if action.first == OLDEST else f"from {text_of(action.first)}"
