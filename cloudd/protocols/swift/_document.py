# -*- test-case-name: tests.protocols.swift.test_document -*-
"""What is served and what is not, as tables from the code; a test compares them with ``docs/swift.md``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ._face import ACCOUNT, CONTAINER, OBJECT, REFUSED_PARAMETERS, Route
from ._metadata import REFUSED_HEADERS, REFUSED_META
from ._paths import Place
from ._upload_headers import REFUSED_UPLOAD_PARAMETERS

LEVELS: tuple[tuple[Place, Mapping[bytes, Route]], ...] = (
    (Place("a"), ACCOUNT),
    (Place("a", "c"), CONTAINER),
    (Place("a", "c", "o"), OBJECT),
)


def tables() -> str:
    """Both tables in Markdown."""
    return "\n".join(["### Served", "", *served(), "", "### Refused with 501", "", *refused(), ""])


def served() -> Iterable[str]:
    """A row for each method of each level; the words are those of the routes."""
    yield "| Method | Path | What it does |"
    yield "|---|---|---|"
    for place, routes in LEVELS:
        for method, route in routes.items():
            said = " ".join((route.__doc__ or "").replace("``", "`").split()).partition(": ")[2]
            yield f"| {method.decode()} | `{place.route}` | {said[:1].upper()}{said[1:]} |"


def refused() -> Iterable[str]:
    """A row for each feature with what asks for it."""
    asked: dict[str, list[str]] = {}
    for header, feature in REFUSED_HEADERS.items():
        asked.setdefault(feature.partition(" (")[0], []).append(header.decode().title())
    for key, feature in REFUSED_META.items():
        asked.setdefault(feature, []).append(f"X-Container-Meta-{key.title()}")
    for name, feature in (REFUSED_PARAMETERS | REFUSED_UPLOAD_PARAMETERS).items():
        asked.setdefault(feature.partition(" (")[0], []).append(f"?{name}")
    yield "| Feature | Asked for by |"
    yield "|---|---|"
    for feature, signs in sorted(asked.items()):
        yield f"| {feature} | {', '.join(f'`{sign}`' for sign in signs)} |"
