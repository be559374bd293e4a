# -*- test-case-name: tests.scheduling.test_explain -*-
"""The scheduler as one part of a generation: its kind of tasks, and what operators may ask."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed

from cloudd.compute import ComputeError
from cloudd.interfaces.application import OperationRefused, PartHealth, Resources, SelfCheckFailed
from cloudd.interfaces.scheduling import read_weights
from cloudd.interfaces.settings import SchedulerSettings
from cloudd.tasks import Kind

from ._decision import Rules
from ._explain import Asked, CannotExplain, explain
from ._picture import Picture
from ._place import place_kind
from ._plugins import Plugins, find_plugins
from ._weighers import RESOURCES


def rules_of(plugins: Plugins, settings: SchedulerSettings) -> Rules:
    """
    :raises PluginMissing: the settings name one that there is not
    """
    weights = read_weights(settings.weights)
    if settings.placement == "pack":
        weights |= {name: -weights.get(name, 1.0) for name in RESOURCES}
    return plugins.rules(settings.filters_off, weights)


@define(eq=False)
class Scheduling:
    """
    In every worker; made in a thread, since plug-ins are loaded.  Code whose plug-ins cannot be used does not serve.

    :param find: which plug-ins there are
    """

    _resources: Resources
    _find: Callable[[], Plugins] = find_plugins
    picture: Picture = field(init=False)
    _placements: Any = field(init=False)
    _rules: Rules = field(init=False, default=Rules((), ()))
    _trouble: str = field(init=False, default="")

    def __attrs_post_init__(self) -> None:
        self.picture = Picture(self._resources.database, time.monotonic)
        meaning = "Servers for which a host was looked for"
        self._placements = self._resources.metrics.counter("cloudd_placements", meaning, ("how",))
        try:
            plugins = self._find()
            plugins.check()
            self._rules = rules_of(plugins, self._resources.settings.scheduler)
        except Exception as error:
            self._trouble = f"{type(error).__name__}: {error}"

    def task_kinds(self) -> tuple[Kind, ...]:
        """The long work of this service."""
        return (place_kind(self.picture, self._rules, lambda how, servers: self._placements.labels(how).inc(servers)),)

    def calls(self) -> dict[str, Callable[..., Awaitable[dict[str, Any]]]]:
        """What operators may ask: functions of keyword arguments that give plain data or raise ``OperationRefused``."""
        return {"scheduling.explain": self._explain}

    async def _explain(self, **asked: Any) -> dict[str, Any]:
        try:
            return await self._resources.database.read(explain, Asked(**asked), self._rules)
        except ComputeError as error:
            raise OperationRefused(error.cause) from None
        except CannotExplain as error:
            raise OperationRefused(str(error)) from None

    # ---- life

    def self_check(self) -> Deferred[None]:
        """
        Whether all plug-ins are there.

        :raises SelfCheckFailed:
        """
        return fail(SelfCheckFailed("cloudd.scheduling", self._trouble)) if self._trouble else succeed(None)

    def start(self, state: Mapping[str, Any]) -> None:
        """Nothing: the picture is read when a server is to be placed."""

    def lead(self) -> None:
        """Nothing: its tasks are led with all others."""

    def snapshot(self) -> dict[str, Any]:
        """Nothing is worth keeping."""
        return {}

    def retire(self) -> None:
        """Nothing runs by itself."""

    def health(self) -> list[PartHealth]:
        """What is wrong with hosts they tell themselves."""
        return []
