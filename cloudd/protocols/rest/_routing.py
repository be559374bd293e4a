# -*- test-case-name: tests.protocols.rest.test_face -*-
"""
The klein app of a set of rules, made once for all faces that have these.

An API has hundreds of rules, which are made while new code loads beside clients that are served.  So a process that
forks others makes them before (``make_ready``), and werkzeug does not compile what makes URLs of them, nine tenths of
the work: nobody asks for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Protocol

from attrs import frozen
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException

from cloudd.protocols.http import Request, match_only
from reload import collect_loaded

from ._routes import Declared, routes_of

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_COLLECT_EACH = 16
_KEPT = 32


@frozen
class Rule:
    """
    :ivar endpoint: what the face knows the route by
    :ivar pattern: the path, as werkzeug writes it
    :ivar methods: of HTTP
    """

    endpoint: str
    pattern: str
    methods: tuple[str, ...]


class Routed(Protocol):
    """What answers on such an app."""

    async def answer_at(self, endpoint: str, request: Request, parameters: Mapping[str, str]) -> None:
        """The path of ``request`` fits the rule with that endpoint."""

    def not_routed(self, request: Any, failure: Failure) -> None:
        """It fits none, or none with that method."""


def make_ready(prefix: str, subjects: Iterable[type], absent: Iterable[str]) -> None:
    """Make the rules of a face now; what is given is of the same words as what ``RestFace`` gets."""
    _app_of(rules_of(prefix, [declared for subject in subjects for declared, _ in routes_of(subject)], absent))


def rules_of(prefix: str, routes: Iterable[Declared], absent: Iterable[str]) -> tuple[Rule, ...]:
    """In an order of their own."""
    served = [Rule(endpoint_of(each), each.rule(prefix), (each.method,)) for each in routes]
    others = [Rule(endpoint_of(each), each.rule(prefix), METHODS) for path in absent for each in absent_routes(path)]
    return tuple(sorted([*served, *others], key=lambda rule: (rule.pattern, rule.endpoint)))


def endpoint_of(declared: Declared) -> str:
    """What the face knows a route by."""
    return f"{declared.method} {declared.template}"


def absent_routes(template: str) -> list[Declared]:
    """Where something is that the API has and nobody serves: it, and all below it."""
    return [Declared("*", path, token=False) for path in (template, template + "/*")]


def app_for(face: Routed, rules: tuple[Rule, ...]) -> Any:
    """A ``klein.Klein`` that asks ``face``."""
    return _app_of(rules).__get__(face, type(face))


@lru_cache(_KEPT)
def _app_of(rules: tuple[Rule, ...]) -> Any:
    from klein import Klein  # late: its import installs a reactor

    app: Any = Klein()
    match_only(app)
    for number, rule in enumerate(rules):
        _add(app, rule)
        if number % _COLLECT_EACH == 0:
            collect_loaded()
    app.handle_errors(HTTPException)(_not_routed)
    return app


def _add(app: Any, rule: Rule) -> None:
    async def answer(face: Routed, request: Request, **parameters: str) -> None:
        await face.answer_at(rule.endpoint, request, parameters)

    app.route(
        rule.pattern,
        methods=rule.methods,
        endpoint=rule.endpoint,
        strict_slashes=False,
        merge_slashes=False,
    )(answer)


def _not_routed(face: Routed, request: Any, failure: Failure) -> None:
    face.not_routed(request, failure)
