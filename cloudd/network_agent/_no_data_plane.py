# -*- test-case-name: tests.network_agent.test_contract -*-
"""Where a host has no data plane: its servers are simulated, or it may not or cannot make one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred, succeed

from cloudd.interfaces.application import PartHealth, Resources, SelfCheckFailed

from . import _gather
from ._agent import PART
from ._errors import not_here
from ._statuses import plug_records, write_statuses


@define(eq=False)
class NoDataPlane:
    """
    ``Plugging`` that writes records alone; safe to call from several generations at one time.

    :ivar _reason: why there is none, for operators
    """

    _resources: Resources
    _own_node: Callable[[], Awaitable[str]]
    _reason: str

    async def plug(self, port_ids: Collection[str]) -> dict[str, str]:
        """
        Say of ports of this host that they are plugged.

        :return: an empty name for each
        :raises PlugRefused: one is not of this host; nothing was said of any
        """
        strange = await self._resources.database.write(plug_records, await self._own_node(), frozenset(port_ids))
        if strange:
            raise not_here(strange[0])
        return dict.fromkeys(port_ids, "")

    async def unplug(self, port_ids: Collection[str]) -> None:
        """Say that they are not; also of ports that there are not."""
        await self._resources.database.write(write_statuses, await self._own_node(), (), frozenset(port_ids))

    async def self_check(self) -> None:
        """
        :raises SelfCheckFailed: the records cannot be read
        """
        try:
            await self._resources.database.read(_gather.position)
        except Exception as error:
            raise SelfCheckFailed("cloudd.network_agent", str(error) or type(error).__name__) from error

    def start(self, state: Mapping[str, Any]) -> None:
        """Nothing runs."""

    def lead(self) -> None:
        """Nothing runs."""

    def snapshot(self) -> dict[str, Any]:
        return {}

    def retire(self) -> None:
        """Nothing runs."""

    def rest(self) -> Deferred[None]:
        return succeed(None)

    def health(self) -> list[PartHealth]:
        if self._resources.role not in ("agent", "all"):
            return []
        return [PartHealth(PART, True, f"this host plugs no ports: {self._reason}")]
