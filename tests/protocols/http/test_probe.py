"""A handler asked without a socket, as a self-check asks it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from cloudd.interfaces.settings import HTTPSettings
from cloudd.protocols.http import Handler, Probed, Request, probe


def ask(handler: Handler) -> Deferred[Probed]:
    return Deferred.fromCoroutine(probe(handler, "object", "GET", "/p?q=1", HTTPSettings(), lambda: 1_000_000_000.5))


class ProbeTests(TestCase):
    async def test_an_answer(self) -> None:
        """The handler sees a whole request; its status and body come back."""
        seen: list[Request] = []

        def handle(request: Request) -> None:
            seen.append(request)
            request.respond(207, [(b"A", b"b")], b"body")

        self.assertEqual(await ask(handle), Probed(207, b"body"))
        request = seen[0]
        self.assertEqual((request.method, request.path, request.query), (b"GET", b"/p", b"q=1"))
        self.assertEqual((request.face, request.peer, request.began), ("object", "self-check:0", 1_000_000_000.5))

    async def test_a_late_answer(self) -> None:
        """A coroutine that waits and streams is awaited to its end."""
        gate: Deferred[None] = Deferred()

        async def handle(request: Request) -> None:
            await gate
            request.start(200, length=4)
            request.write(b"la")
            request.write(b"te")
            request.finish()

        asked = ask(handle)
        self.assertNoResult(asked)
        gate.callback(None)
        self.assertEqual(await asked, Probed(200, b"late"))

    async def test_failures(self) -> None:
        """A handler that raises answers 500, which the log explains; one that breaks off has no status."""

        def fail(_request: Request) -> None:
            raise RuntimeError("no such word")

        def break_off(request: Request) -> None:
            request.start(200, length=4)
            request.abort()

        self.assertEqual((await ask(fail)).status, 500)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(await ask(break_off), Probed(0, b""))

    def test_giving_up(self) -> None:
        """Who no longer waits takes the handler along."""
        ends: list[Any] = []

        async def hang(_request: Request) -> None:
            try:
                await Deferred()
            except CancelledError as error:
                ends.append(error)
                raise

        asked = ask(hang)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertEqual(len(ends), 1)
