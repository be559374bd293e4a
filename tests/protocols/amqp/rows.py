"""
What plain txAMQP 0.8.2 cannot do with RabbitMQ, and our layer on it can: every row of the table in ``docs/amqp.md``.

Each scenario is written once; ``test_rows`` has two clients run it.  Ours has to come through.  Plain txAMQP has to
fail in the way that ``plain_fails`` says: the day it does not, the row can go.
"""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import cache, wraps
from pathlib import Path
from typing import Any, TypeVar
from unittest import SkipTest

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.trial.unittest import TestCase

from tests.ports import free_port
from tests.tls_front.certificates import make, write

from .broker import PROGRAMS, Broker
from .parties import Ours, Party
from .peer import Peers

Result = TypeVar("Result")
Scenario = Callable[[Any], Coroutine[Any, Any, None]]
HOST = "127.0.0.1"
REFUSED_S = 10.0  # RabbitMQ lets who may be guessing passwords wait, if it cannot tell it


class Late(Exception):
    """Nothing came in time."""


def plain_fails(kind: type[Exception], words: str = "^") -> Callable[[Scenario], Scenario]:
    """
    How plain txAMQP fails in a scenario.

    :param kind: ``Late``: what was waited for never came; ``AssertionError``: something else came
    :param words: a regular expression that the error's text has
    """

    def mark(scenario: Scenario) -> Scenario:
        @wraps(scenario)
        async def run(case: RowCase) -> None:
            if not case.expects_failure:
                await scenario(case)
                return
            try:
                await scenario(case)
            except kind as error:
                case.assertRegex(f"{type(error).__name__}: {error}", words)
                return
            case.fail("txAMQP does this now")

        return run

    return mark


@cache
def broker() -> tuple[Broker, int, Path]:
    """One for both clients, with its port of TLS, and the authority of its certificate."""
    port = free_port()
    made = Broker()
    atexit.register(made.remove)
    authority = make("authority")
    trusted = write(made.folder, authority, "authority.key", "authority.pem")[1]
    key, certificate = write(made.folder, make(HOST, addresses=True, issuer=authority))
    with (made.folder / "rabbitmq.conf").open("a") as settings:
        settings.write(
            f"\nlisteners.ssl.1 = {HOST}:{port}\nssl_options.cacertfile = {trusted}\n"
            f"ssl_options.certfile = {certificate}\nssl_options.keyfile = {key}\n"
            "ssl_options.verify = verify_none\n"
        )
    made.start()
    return made, port, Path(trusted)


class RowCase(TestCase):
    """The scenarios; who runs them is for those who inherit."""

    timeout = 60
    party: Party
    expects_failure = False
    patience_s = 40.0

    async def setUp(self) -> None:  # type: ignore[override]
        if not PROGRAMS.is_dir():
            raise SkipTest("RabbitMQ is not installed")
        self.broker, self.tls_port, self.authority = broker()
        self.uri = f"amqp://guest:guest@{HOST}:{self.broker.port}"

    async def soon(self, awaited: Awaitable[Result], seconds: float = 0) -> Result:
        async def wait() -> Result:
            return await awaited

        try:
            return await ensureDeferred(wait()).addTimeout(seconds or self.patience_s, reactor, _too_late)
        except CancelledError:
            raise Late from None

    async def opened(self, parameters: str = "") -> Any:
        """A channel of a new connection."""
        await self.soon(self.party.connect(self.uri + parameters))
        return await self.soon(self.party.open_channel())

    async def consumed(self, **words: Any) -> tuple[Any, str, Callable[[], Deferred[Any]]]:
        """A channel, a queue, and what gives its next message."""
        channel = await self.opened()
        queue = await self.soon(self.party.declare(channel, **words))
        return channel, queue, await self.soon(self.party.consume(channel, queue))

    async def other(self) -> tuple[Ours, Any]:
        """Another client, which writes and reads everything, with a channel."""
        other = Ours()
        self.addCleanup(lambda: ensureDeferred(other.leave()))
        await other.connect(self.uri)
        return other, await other.open_channel()

    async def assertAlive(self, channel: Any) -> None:
        await self.soon(self.party.declare(channel))

    @contextlib.contextmanager
    def alarm(self) -> Iterator[None]:
        """The broker is short of memory."""
        self.broker.control("set_vm_memory_high_watermark", "absolute", "1")
        try:
            yield
        finally:
            self.broker.control("set_vm_memory_high_watermark", "0.4")

    async def with_peer(self) -> tuple[Any, Any]:
        """A channel with a consumer, and the broker's side of it, which says what the test wants."""
        peers: Any = Peers()
        port: Any = reactor.listenTCP(0, peers, interface=HOST)
        self.addCleanup(port.stopListening)
        self.uri = f"amqp://guest:guest@{HOST}:{port.getHost().port}"
        channel = await self.opened()
        await self.soon(self.party.consume(channel, "q"))
        return channel, peers.met[-1]


def _too_late(_result: Any, _seconds: float) -> Any:
    raise Late
