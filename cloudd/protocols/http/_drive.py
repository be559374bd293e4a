# -*- test-case-name: tests.protocols.http -*-
"""
Run a handler's coroutine; most end at once and then cost no Deferred.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

from twisted.internet.defer import Deferred


def drive(coroutine: Coroutine[Any, Any, None]) -> Deferred[None] | None:
    """
    Run ``coroutine`` until it waits or ends.

    :return: ``None`` when it has ended, else what fires at its end; cancelling it cancels what the coroutine waits for
    :raises Exception: what the coroutine raised before it waited for anything
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration:
        return None
    return Deferred.fromCoroutine(rest_of(coroutine, awaited))


def rest_of(coroutine: Coroutine[Any, Any, Any], awaited: Any) -> Generator[Any, Any, Any]:
    """``coroutine`` from its first wait on, for Twisted's driver."""
    try:
        while True:
            try:
                result = yield awaited
            except GeneratorExit:
                raise
            except BaseException as error:
                awaited = coroutine.throw(error)
            else:
                awaited = coroutine.send(result)
    except StopIteration as end:
        return end.value
    finally:
        coroutine.close()
