# -*- test-case-name: tests.daemon.test_workers -*-
"""
Asking workers: all of some at the same time, one that suits, or one after the other where the answer is work.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore, ensureDeferred
from twisted.internet.interfaces import IReactorTime

from ._link import Link, LinkError, RemoteError
from ._slot import Slot


async def ask_each(
    slots: Collection[Slot], call: str, timeout_s: float, body: Mapping[str, Any]
) -> list[tuple[Slot, Any]]:
    """
    Call every one that is ready at the same time.

    :return: each with its answer, or the ``LinkError`` why there is none
    """
    ready = [slot for slot in slots if slot.is_ready]
    answers = await _gather([_ask(slot, call, timeout_s, body) for slot in ready])
    return list(zip(ready, answers, strict=True))


def link_of_one(slots: Collection[Slot], roles: Collection[str]) -> Link | None:
    """The link of one that is ready, of one with such a role where there is one; None: nobody is ready."""
    ready = sorted((slot for slot in slots if slot.is_ready), key=lambda slot: slot.role not in roles)
    return ready[0].link if ready else None


async def load_in_turns(
    slots: Collection[Slot], body: Mapping[str, Any], timeout_s: float, clock: IReactorTime
) -> tuple[dict[str, int], str]:
    """
    Let those that are ready load code; loading takes a core for a while, and one is left to those who serve.

    :param body: of the call ``prepare``
    :param timeout_s: for all together
    :return: name -> process number of those that have it, and what the first that could not said; empty: all could
    """
    until = clock.seconds() + timeout_s
    turns = DeferredSemaphore(max(1, len(os.sched_getaffinity(0)) - 1))
    loaded: dict[str, int] = {}
    failed: list[str] = []

    async def load(slot: Slot, pid: int) -> None:
        if failed or slot.pid != pid or not slot.is_ready:  # one that is started anew meanwhile loads later
            return
        answer = await _ask(slot, "prepare", max(1.0, until - clock.seconds()), body)
        if isinstance(answer, LinkError):
            failed.append(f"worker {slot.name}: {answer.cause if isinstance(answer, RemoteError) else answer}")
            return
        loaded[slot.name] = pid

    ready = [slot for slot in slots if slot.is_ready]
    await _gather([turns.run(lambda *of: Deferred.fromCoroutine(load(*of)), slot, slot.pid) for slot in ready])
    return loaded, "".join(failed[:1])


async def _ask(slot: Slot, call: str, timeout_s: float, body: Mapping[str, Any]) -> Any:
    assert slot.link is not None
    try:
        return await slot.link.call(call, timeout_s=timeout_s, **body)
    except LinkError as error:
        return error


async def _gather(coroutines: list[Any]) -> list[Any]:
    results = await DeferredList([ensureDeferred(each) for each in coroutines], fireOnOneErrback=True)
    return [answer for _success, answer in results]
