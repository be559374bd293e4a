# -*- test-case-name: tests.hypervisor.test_patience -*-
"""Waiting for something that may never come, but not for ever."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred


def at_most(reactor: Any, patience_s: float, done: Deferred[Any]) -> Deferred[bool]:
    """
    Fires when ``done`` does, with ``True``, or after ``patience_s``, with ``False``; ``done`` goes on then.

    What ``done`` fails with is ``done``'s own matter: it goes on to whoever else waits for it.
    """
    answer: Deferred[bool] = Deferred()
    late = reactor.callLater(patience_s, answer.callback, False)

    def over(result: Any) -> Any:
        if late.active():
            late.cancel()
            answer.callback(True)
        return result

    done.addBoth(over)
    return answer
