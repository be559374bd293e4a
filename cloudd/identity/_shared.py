# -*- test-case-name: tests.identity.test_cache -*-
"""One piece of work for all who ask for the same thing at the same time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred

Result = TypeVar("Result")


@define(eq=False)
class Shared(Generic[Result]):
    """Who asks while the work for its key is under way gets that work's result; leaving does not stop it."""

    _waiting: dict[Hashable, list[Deferred[Result]]] = field(init=False, factory=dict)

    def under_way(self, key: Hashable) -> bool:
        return key in self._waiting

    def call(self, key: Hashable, work: Callable[..., Coroutine[Any, Any, Result]], *args: Any) -> Deferred[Result]:
        mine: Deferred[Result] = Deferred()
        others = self._waiting.get(key)
        if others is not None:
            others.append(mine)
        else:
            self._waiting[key] = [mine]
            Deferred.fromCoroutine(work(*args)).addBoth(self._finish, key)
        return mine

    def _finish(self, result: Any, key: Hashable) -> None:
        for deferred in self._waiting.pop(key):
            if not deferred.called:
                deferred.callback(result)  # a Failure goes down the errbacks
