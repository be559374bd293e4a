# -*- test-case-name: tests.scheduling.test_plugins -*-
"""
Plug-ins of the scheduler, found in all modules of ``cloudd.plugins``, of the generation that asks.

They look like those of ``twisted.plugin``: objects at the top of a module that provide ``IPlugin`` and the interface.
They are not found by its ``getPlugins``: that keeps module names in a file beside the dropins, where names of one
generation would lead the next one into the old code, and it writes into the copy of the code, which is never changed.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen
from twisted.plugin import IPlugin
from zope.interface import Interface

from cloudd.interfaces.scheduling import IHostFilter, IHostWeigher

from ._decision import Rules
from ._filters import FILTERS
from ._weighers import WEIGHERS

#: Relative, since a name given as text would lead out of the generation.
_PACKAGE: Final = "..plugins"


class PluginMissing(Exception):
    """The cause names what is missing, or twice there, and where it was looked for."""


@frozen
class Plugins:
    """What was found, in the order of modules' names, and in each in the order of its objects."""

    filters: tuple[IHostFilter, ...]
    weighers: tuple[IHostWeigher, ...]

    def rules(self, turned_off: Sequence[str], multipliers: dict[str, float]) -> Rules:
        """
        :param turned_off: names of filters that are not asked
        :param multipliers: of weighers, by name; of those that are not in there: 1
        :raises PluginMissing: a name is none
        """
        _check_names("filter", turned_off, self.filters)
        _check_names("weigher", list(multipliers), self.weighers)
        return Rules(
            tuple(each for each in self.filters if each.name not in turned_off),
            tuple((each, multipliers.get(each.name, 1.0)) for each in self.weighers),
        )

    def check(self) -> None:
        """
        :raises PluginMissing: one of cloudd's own is not there, or two have one name
        """
        for what, ours, found in (("filter", FILTERS, self.filters), ("weigher", WEIGHERS, self.weighers)):
            names = [each.name for each in found]
            for name in (each.name for each in ours):
                if name not in names:
                    raise PluginMissing(f"there is no {what} {name!r} in cloudd.plugins, which cloudd brings itself")
            for name in names:
                if names.count(name) > 1:
                    raise PluginMissing(f"there are two {what}s {name!r} in cloudd.plugins: remove one")


def find_plugins() -> Plugins:
    """
    Load all modules of plug-ins; blocks.

    :raises Exception: whatever a module raises
    """
    package = importlib.import_module(_PACKAGE, __package__)
    modules = sorted(each.name for each in pkgutil.iter_modules(package.__path__))
    objects: list[Any] = []
    for name in modules:
        objects += vars(importlib.import_module(f".{name}", package.__name__)).values()
    return Plugins(tuple(_providing(IHostFilter, objects)), tuple(_providing(IHostWeigher, objects)))


def _providing(interface: type[Interface], objects: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for each in objects:
        if not isinstance(each, type) and IPlugin.providedBy(each) and interface.providedBy(each) and each not in found:
            found.append(each)
    return found


def _check_names(what: str, names: Sequence[str], found: Sequence[Any]) -> None:
    known = [each.name for each in found]
    for name in names:
        if name not in known:
            raise PluginMissing(f"[scheduler] names the {what} {name!r}; there are {', '.join(map(repr, known))}")
