# -*- test-case-name: tests.reload.test_behaviour_values -*-
"""
Instances of a generation's classes are not pickled.

A pickle names the class as ``_g7.shop.Sale``, which no other process has, nor this one after the next upgrade.  It
would be found out when it is read, long after it was written; so ``copyreg.dispatch_table``, which every pickler asks,
refuses.  ``copy`` asks the same table and may go on: a copy stays in the generation.
"""

from __future__ import annotations

import copy
import copyreg
import pickle
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any


def refuse_pickles(module: ModuleType) -> None:
    """From now on refuse to pickle instances of the classes that ``module`` defines."""
    for found in _classes_in(vars(module), module.__name__, set()):
        copyreg.dispatch_table.setdefault(found, _refuse)


def forget_classes(prefix: str) -> None:
    """The table holds the classes: take those of a generation out, whose modules' names begin so."""
    for found in list(copyreg.dispatch_table):
        if str(getattr(found, "__module__", "")).startswith(prefix):
            del copyreg.dispatch_table[found]


def _classes_in(members: Any, module: str, seen: set[int]) -> Iterator[type[Any]]:
    values: Iterable[Any] = list(members.values())
    for found in values:
        if isinstance(found, type) and found.__module__ == module and id(found) not in seen:
            seen.add(id(found))
            yield found
            yield from _classes_in(vars(found), module, seen)


def _refuse(thing: Any) -> Any:
    if sys._getframe(1).f_globals is vars(copy):
        return thing.__reduce_ex__(4)
    kind = type(thing)
    generation, _, module = kind.__module__.partition(".")
    raise pickle.PicklingError(
        f"{module}.{kind.__qualname__} is of one generation of the code ({generation}): no instance can be pickled, "
        "nothing could read them after the next upgrade; pass on plain data (reload.Snapshot)"
    )
