# -*- test-case-name: tests.rolling.test_progress -*-
"""
How far a change of the whole cloud is: each node's state, as it is saved with the task.  Nothing here waits.

::

    waiting --> ordered --> settling --> done          away: it was lost when its turn came, and is left out
                   |            |                      gone: it was removed from the cloud, whenever that was
                   +--> failed <+                      failed: everything stops, and goes back
    returning --> back, or stuck                       of those that go back

``ordered`` is saved before the order is sent.  An order has an id that follows from what is saved, so whoever takes the
task over sends the same one again, which the node knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import asdict, define, field, fields

from cloudd.interfaces.orders import OrderStatus

WAITING, ORDERED, SETTLING, DONE = "waiting", "ordered", "settling", "done"
AWAY, GONE, FAILED = "away", "gone", "failed"
RETURNING, BACK, STUCK = "returning", "back", "stuck"

AWAY_ALLOWED = 1
TEXT_LENGTH = 300


@define(kw_only=True)
class NodeProgress:
    """
    One node's part.

    :ivar before: hash of the code that it had
    :ivar changed: whether it has other code now, as far as is known
    :ivar number: of orders that were given it: one that came when it was busy is followed by another
    :ivar cause: of a failure; ``text`` and ``done`` of ``total`` tell what it is at
    """

    id: str
    name: str
    before: str
    state: str = WAITING
    changed: bool = False
    number: int = 0
    cause: str = ""
    text: str = ""
    done: int = 0
    total: int = 0

    def enter(self, state: str, cause: str = "") -> None:
        """It is in another state from now on."""
        self.state, self.cause = state, cause[:TEXT_LENGTH]
        self.text, self.done, self.total = "", 0, 0

    def tell(self, text: str, done: int = 0, total: int = 0) -> None:
        """What it is at, for people."""
        self.text, self.done, self.total = text[:TEXT_LENGTH], done, total

    def tell_status(self, status: OrderStatus) -> None:
        """The same, from an order that runs."""
        self.tell(f"{status.step}: {status.text}" if status.step else "it has begun", status.done, status.total)


_KNOWN = {each.name for each in fields(NodeProgress)}


@define(kw_only=True)
class Rollout:
    """:ivar nodes: in the order in which they are changed"""

    nodes: list[NodeProgress] = field(factory=list)

    @classmethod
    def read(cls, state: dict[str, Any]) -> Rollout:
        """From what was saved; what later code has added is left out."""
        found = [{name: value for name, value in node.items() if name in _KNOWN} for node in state.get("nodes", [])]
        return cls(nodes=[NodeProgress(**each) for each in found])

    def fields(self) -> dict[str, Any]:
        """To be saved."""
        return {"nodes": [asdict(node) for node in self.nodes]}

    def of(self, *states: str) -> list[NodeProgress]:
        """Nodes in these states, in order."""
        return [node for node in self.nodes if node.state in states]

    def batch(self, parallel: int) -> list[NodeProgress]:
        """Who is at work, and whose turn it is: so many at a time."""
        under_way = self.of(ORDERED, SETTLING)
        return under_way + self.of(WAITING)[: max(0, parallel - len(under_way))]

    def returning(self, parallel: int) -> list[NodeProgress]:
        """Who goes back now: those whose order still runs, and the newest changes first."""
        return self.of(ORDERED) + list(reversed(self.of(RETURNING)))[:parallel]

    def stop(self) -> str:
        """Why everything stops; empty: it goes on."""
        failed = self.of(FAILED)
        if failed:
            return "; ".join(f"node {node.name}: {node.cause}" for node in failed)
        away = self.of(AWAY)
        if len(away) > AWAY_ALLOWED:
            return f"{named(away)} are away: at most {AWAY_ALLOWED} may be left out"
        return ""

    @property
    def ended(self) -> int:
        """How many have had their turn."""
        return len(self.nodes) - len(self.of(WAITING, ORDERED, SETTLING))

    def ask_again(self) -> None:
        """Where all have had their turn on the way back: those that could not go back are asked by a new order."""
        if self.of(ORDERED, RETURNING):
            return
        for node in self.of(STUCK, AWAY):
            node.number += 1
            node.enter(RETURNING)

    def turn_back(self) -> None:
        """From now on everything goes back; those that never changed stay as they are."""
        for node in self.of(SETTLING, DONE, FAILED):
            if node.changed:
                node.enter(RETURNING)


def named(nodes: Iterable[NodeProgress]) -> str:
    """Their names, for a sentence."""
    return ", ".join(node.name for node in nodes)


def states(nodes: Sequence[NodeProgress]) -> dict[str, str]:
    """Name -> state, for the task's result."""
    return {node.name: node.state for node in nodes}
