# -*- test-case-name: tests.scheduling.test_place -*-
"""
Finding hosts for the servers of one request, as a task: page after page, each in one transaction.

What a page has written it finds again after a kill, so nothing is done twice.  Where no host will do but some are
silent, as after a start of everything, it is tried again for some seconds; then the servers are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define
from sqlalchemy import Connection
from twisted.logger import Logger

from cloudd.compute import PLACE
from cloudd.interfaces.scheduling import HostPicture
from cloudd.tasks import Fields, Kind, Retry, Step, Task

from ._decision import Rules
from ._picture import Picture
from ._placing import Order, Placed, place, placeable, refuse
from ._refusal import NO_HOST, Refusal

PAGE = 100
WAITS = 5

log = Logger()


class HostsSilent(Exception):
    """No host will do, and some say nothing: tried again in a moment."""


class HostsChange(Exception):
    """Others take the room while it is decided: tried again in a moment."""


Count = Callable[[str, int], object]
"""Told ``placed`` or ``refused``, and how many servers were."""


def place_kind(picture: Picture, rules: Rules, count: Count = lambda _how, _servers: None) -> Kind:
    """
    :param picture: of the worker that runs the task
    """
    steps = _Place(picture, rules, count)
    return Kind(
        form=PLACE,
        steps=(Step("place", steps.place),),
        retry=Retry(attempts=20, first_s=1.0, longest_s=30.0),
        undo=steps.undo,
    )


@define(eq=False)
class _Place:
    """``state``: ``next``, how many servers are done; ``waits``, how often it was waited for hosts."""

    picture: Picture
    rules: Rules
    count: Count

    async def place(self, task: Task) -> Fields | None:
        ids = task.payload["servers"]
        while (begin := task.state.get("next", 0)) < len(ids):
            some, waits = ids[begin : begin + PAGE], task.state.get("waits", 0)
            placed = await self._page(task, some, patient=waits < WAITS)
            if placed.waiting:
                await task.save({"next": begin, "waits": waits + 1})
                raise HostsSilent(next(iter(placed.waiting.values())).details.partition("\n")[0])
            if begin + PAGE < len(ids):
                await task.save({"next": begin + PAGE, "waits": waits}, progress=begin + PAGE, total=len(ids))
            else:
                break
        return {"servers": len(ids)}

    async def _page(self, task: Task, ids: Sequence[str], *, patient: bool) -> Placed:
        placed = await self._write(task, ids, await self.picture.hosts(), False, patient)
        if placed.unsure:
            placed = await self._write(task, placed.unsure, await self.picture.read_anew(), True, patient)
        if placed.unsure:
            raise HostsChange(f"hosts change faster than {len(placed.unsure)} servers can be placed")
        return placed

    async def _write(
        self, task: Task, ids: Sequence[str], hosts: Sequence[HostPicture], sure: bool, patient: bool
    ) -> Placed:
        placed: Placed = await task.write(place, ids, hosts, self.rules, _order(task), sure, patient)
        self.picture.note(placed.seen)
        self.count("placed", len(placed.hosts))
        self.count("refused", len(placed.refused))
        for refused, several in _by_refusal(placed.refused).items():
            log.warn(
                "no host for {count} servers: {cause} {details}",
                count=len(several),
                cause=refused.message,
                details=refused.details.partition("\n")[0],
                server_ids=several[:10],
                request_id=task.request_id,
            )
        return placed

    async def undo(self, task: Task) -> Fields | None:
        """Who has no host yet gets none any more."""
        ids, details = task.payload["servers"], f"task {task.id}: `cloudctl task show` tells why it has failed"
        for begin in range(task.state.get("next", 0), len(ids), PAGE):
            await task.write(_refuse_all, ids[begin : begin + PAGE], task.request_id, details)
        return None


def _refuse_all(connection: Connection, ids: Sequence[str], request_id: str, details: str) -> None:
    for server in placeable(connection, ids):
        refuse(connection, server.id, request_id, f"{NO_HOST} It was not looked for to the end.", details)


def _order(task: Task) -> Order:
    payload = task.payload
    avoid, cause = tuple(payload.get("avoid", ())), str(payload.get("cause", ""))
    return Order(task.request_id, avoid, payload.get("tries", 0), cause, str(payload.get("told", "")))


def _by_refusal(refused: dict[str, Refusal]) -> dict[Refusal, list[str]]:
    found: dict[Refusal, list[str]] = {}
    for server_id, each in refused.items():
        found.setdefault(each, []).append(server_id)
    return found
