# -*- test-case-name: tests.protocols.rest.test_face -*-
"""
How routes are declared: a method, a template and whether a token is needed, beside the method that answers.

A service's routes stand in classes of one subject each; ``RestFace`` puts them on klein.  The template is also what
the access log and the metrics call the route, so that their labels stay bounded.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec
from attrs import frozen

from cloudd.protocols.http import Header

RouteMethod = Callable[..., Awaitable["Answer"]]
Decorated = TypeVar("Decorated", bound=RouteMethod)

_MARK = "__rest_routes__"
_PARAMETER = re.compile(r"{(\w+)}")


@frozen
class Answer:
    """
    What a route gives back.

    :ivar status: HTTP status
    :ivar document: anything msgspec encodes, ``bytes`` that are JSON already, or ``None`` for an empty body
    :ivar headers: further header fields
    """

    status: int
    document: Any = None
    headers: tuple[Header, ...] = ()

    def body(self) -> bytes:
        """The document as JSON."""
        if self.document is None:
            return b""
        if isinstance(self.document, bytes):
            return self.document
        return msgspec.json.encode(self.document)


@frozen
class Declared:
    """
    One route as it was declared.

    :ivar method: ``GET`` and the like; ``GET`` also answers ``HEAD`` unless that is declared
    :ivar template: path below the face's prefix, parameters in braces: ``/v3/projects/{project_id}``
    :ivar token: whether ``X-Auth-Token`` must hold a valid token
    """

    method: str
    template: str
    token: bool

    def rule(self, prefix: str) -> str:
        """The template as werkzeug, on which klein routes, writes it; a last ``*`` takes any further path."""
        pattern = _PARAMETER.sub(r"<\1>", self.template)
        return prefix + (f"{pattern[:-1]}<path:rest>" if pattern.endswith("*") else pattern)


def route(method: str, template: str, *, token: bool = True) -> Callable[[Decorated], Decorated]:
    """Declare that the decorated method of a route class answers ``method`` at ``template``."""

    def declare(function: Decorated) -> Decorated:
        declared = (*getattr(function, _MARK, ()), Declared(method, template, token))
        setattr(function, _MARK, declared)
        return function

    return declare


def routes_of(subject: object) -> Iterator[tuple[Declared, RouteMethod]]:
    """The routes of one instance (or class), in the order they stand in the class."""
    kind = subject if isinstance(subject, type) else type(subject)
    for name, function in vars(kind).items():
        for declared in reversed(getattr(function, _MARK, ())):
            yield declared, getattr(subject, name)


def route_table(subjects: Iterable[object], prefix: str = "") -> list[tuple[str, str, bool]]:
    """Method, full template and need for a token of every route; for the documents and the tests."""
    return [
        (declared.method, prefix + declared.template, declared.token)
        for subject in subjects
        for declared, _ in routes_of(subject)
    ]
