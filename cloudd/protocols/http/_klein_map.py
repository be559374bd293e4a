# -*- test-case-name: tests.protocols.rest.test_face -*-
"""
Rules that paths are matched with, and no URLs made of.

It is of the kernel, since the routes of a face are many: were their map of a class of a generation, they would be in
one circle with its modules, and be freed all at once with them.
"""

from __future__ import annotations

from typing import Any, NoReturn

from werkzeug.routing import Map, RuleFactory


class MatchingMap(Map):
    """A map that has none of its rules compiled to make URLs; with a werkzeug that calls it otherwise it has."""

    def add(self, rulefactory: RuleFactory) -> None:
        """Add a rule."""
        vars(rulefactory)["_compile_builder"] = _no_builder
        super().add(rulefactory)


def _no_builder(append_unknown: bool = True) -> Any:  # as ``werkzeug.routing.Rule`` has it
    return _build_nothing


def _build_nothing(*_values: object) -> NoReturn:
    raise TypeError("no URLs are made of the rules of this app, which match_only has set up: write the path out")
