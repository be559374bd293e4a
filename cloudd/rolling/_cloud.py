"""What a rolling change needs of the cloud; ``_reach`` has it from the real one, tests have a small one in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from cloudd.interfaces.orders import NodeOrders
from cloudd.nodes import Node


class Cloud(Protocol):
    """Nodes, as one of them sees the others."""

    @property
    def orders(self) -> NodeOrders:
        """To each of them."""

    @property
    def lost_s(self) -> float:
        """Age of its last contact from which a node is taken for lost."""

    async def nodes(self) -> list[Node]:
        """All that were not removed, by name."""

    async def trouble(self, node: Node) -> str:
        """What is wrong with a node, as it says itself when it is asked; empty: it is well."""

    async def unreadable(self, payloads: Mapping[str, Sequence[int]]) -> str:
        """Which open tasks code cannot do that reads these; empty: it can do all."""

    def seconds(self) -> float:
        """A clock that does not go back."""

    def pause(self, seconds: float) -> Deferred[None]:
        """Wait."""
