# -*- test-case-name: tests.protocols.rest.identity.test_documentation -*-
"""The route tables of the documents, from the declarations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ._routes import Declared, RouteMethod, routes_of


def tables(prefix: str, subjects: Iterable[type], absent: Mapping[str, str]) -> str:
    """Two Markdown tables: what is served, and what answers 501."""
    return "\n".join([*_served(prefix, subjects), "", *_absent(prefix, absent), ""])


def _served(prefix: str, subjects: Iterable[type]) -> Iterator[str]:
    yield "| Method | Path | Token | Answer |"
    yield "|---|---|---|---|"
    for subject in subjects:
        for declared, method in routes_of(subject):
            yield _row(prefix, declared, method)


def _row(prefix: str, declared: Declared, method: RouteMethod) -> str:
    meaning = " ".join((method.__doc__ or "").split()).replace("``", "`").replace("|", "\\|")
    token = "yes" if declared.token else "no"
    return f"| {declared.method} | `{prefix}{declared.template}` | {token} | {meaning} |"


def _absent(prefix: str, absent: Mapping[str, str]) -> Iterator[str]:
    yield "| Path, and below it | What it would be |"
    yield "|---|---|"
    for template, what in absent.items():
        yield f"| `{prefix}{template}` | {what} |"
