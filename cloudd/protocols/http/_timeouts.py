# -*- test-case-name: tests.protocols.http.test_timeouts -*-
"""
What has taken too long on a connection.

The factory's sweep asks once a second for each connection, so a time-out acts up to a second late; nothing here is a
timer of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._errors import BadRequest, BodyTimedOut

if TYPE_CHECKING:
    from ._connection import HTTPConnection
    from ._request import Request

#: Longest silence, and longest time at all, of a client that was refused and has not closed yet.
LINGER_SILENCE_S = 5.0
LINGER_S = 30.0


class OutputWatch:
    """Whether a client takes what waits for it: compares what was sent from one look to the next."""

    __slots__ = ("_mark", "_since")

    def __init__(self) -> None:
        self._mark = -1
        self._since = 0.0

    def stuck_s(self, sent: int, now: float) -> float:
        """
        For how long nothing has gone out although something waits.

        :param sent: bytes sent so far
        """
        if sent != self._mark:
            self._mark = sent
            self._since = now
        return now - self._since


def check(connection: HTTPConnection, now: float) -> None:
    """Act on what has taken too long on ``connection``."""
    limits = connection.factory.limits
    request = connection.request
    silent_s = now - connection.since
    if connection.stuck_s(now) > limits.write_timeout_s:
        connection.transport.abortConnection()
    elif connection.closing:
        if not connection.unsent and (silent_s > LINGER_SILENCE_S or now - connection.closed_at > LINGER_S):
            connection.transport.abortConnection()
    elif request is not None:
        _check_body(connection, request, silent_s)
    elif connection.unparsed:
        if silent_s > limits.head_timeout_s:
            connection.refuse(BadRequest(408, f"The request head did not arrive within {limits.head_timeout_s:g} s."))
    elif silent_s > limits.idle_timeout_s:
        connection.close(linger=False)


def _check_body(connection: HTTPConnection, request: Request, silent_s: float) -> None:
    body = request.unread_body
    timeout_s = connection.factory.limits.body_timeout_s
    if body is None or not body.waiting_for_client or silent_s <= timeout_s:
        return
    request.keep = False
    body.no_more(BodyTimedOut(f"nothing of the body came for {timeout_s:g} s"))
    if request.finished:
        connection.close(linger=True)
