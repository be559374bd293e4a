# -*- test-case-name: tests.messaging.test_inprocess -*-
"""The face of messaging: one for each process."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import deferLater
from twisted.logger import Logger

from cloudd.interfaces.application import Metrics, PartHealth
from reload import NotPlainData

from ._calls import Calls
from ._counts import Counts
from ._delays import Delays
from ._errors import MessagingError
from ._form import Fields, Form, Method, check_name
from ._limits import Limits
from ._seen import Seen
from ._server import Server, World
from ._subscription import Event, Subscription
from ._transport import ITransport, Parcel, Way
from ._words import Question, Told, packed

LOOK_S = 0.005  # whether a server is ready; for some milliseconds, in a move


@define(eq=False)
class Bus:
    """
    Calls, casts, fan-out and events between the processes of a cloud.  See the package for an overview.

    :param transport: what carries them, for this bus alone
    """

    _reactor: Any
    _transport: ITransport
    _metrics: Metrics
    _limits: Limits = field(factory=Limits)
    _chance: Callable[[], float] = random.random
    _world: World = field(init=False)
    _calls: Calls = field(init=False)
    _oldest: dict[str, int] = field(init=False, factory=dict)
    _servers: list[Server] = field(init=False, factory=list)
    _prefix: str = field(init=False, factory=lambda: os.urandom(9).hex())
    _count: int = field(init=False, default=0)

    log = Logger()

    def __attrs_post_init__(self) -> None:
        counts = Counts(self._metrics)
        seen = Seen(self._limits.remembered, self._limits.remembered_s)
        self._world = World(self._reactor, self._transport, self._limits, counts, seen, Delays(), self._chance)
        self._calls = Calls(self._reactor, counts, self._limits.calls)

    @property
    def node(self) -> str:
        """The name of this host."""
        return str(self._transport.node)

    def start(self) -> None:
        """Be connected from now on; what can be done before there is a connection is kept for it: servers."""
        self._transport.start(self._calls.answered, self._changed)

    async def stop(self) -> None:
        """Let all servers rest, then leave."""
        for server in list(self._servers):
            await self.retire(server)
        await self._transport.stop()
        self._calls.fail_all("messaging was stopped here")

    # ---- asking

    def call(
        self, topic: str, form: Form, fields: Fields, deadline_s: float, *, node: str = "", request_id: str = ""
    ) -> Deferred[Fields]:
        """
        Have a method done, by any who serves the topic, and get its answer.

        :param deadline_s: seconds from now, more than 0; both ends give up then
        :param node: only on this host
        :return: the answer's fields; fails with one of ``_errors``, or ``NotPlainData``.  Cancelling ends the wait, not
            the method
        """
        try:
            self._calls.check_room()
            way = Way.NODE if node else Way.CALL
            question = self._question(topic, form, fields, deadline_s, self._transport.reply_to, request_id)
            body = packed(question)
        except (MessagingError, NotPlainData) as error:
            self._world.counts.sent("call", type(error).__name__)
            return fail(error)
        answer = self._calls.begin(question.id, form, topic, question.version, deadline_s)
        sent = self._transport.send(Parcel(way, topic, question.id, body, node, deadline_s))
        sent.addErrback(lambda why: self._calls.fail(question.id, why))
        return answer

    def cast(
        self,
        topic: str,
        form: Form,
        fields: Fields,
        deadline_s: float | None = None,
        *,
        node: str = "",
        request_id: str = "",
    ) -> Deferred[None]:
        """
        Have a method done, by any who serves the topic, whatever is killed meanwhile: once, or more often.

        :param deadline_s: seconds from now, after which it is of no use any more; None: it is kept until it is done
        :param node: only on this host; then it is kept only as long as the broker and a process there live
        :return: fires when it has been accepted; fails as ``call``
        """
        return self._cast(Way.NODE if node else Way.WORK, topic, form, fields, deadline_s, node, request_id)

    def fan_out(
        self, topic: str, form: Form, fields: Fields, deadline_s: float | None = None, *, request_id: str = ""
    ) -> Deferred[None]:
        """Have a method done once on each host that serves the topic now; fires and fails as ``cast`` to a host."""
        return self._cast(Way.ALL, topic, form, fields, deadline_s, "", request_id)

    def publish(self, key: str, form: Form, fields: Fields, *, request_id: str = "") -> Deferred[None]:
        """
        Tell those who have subscribed, now; who is away misses it.

        :param key: words between dots
        :return: fires when it has been taken, also when nobody has subscribed; fails as ``call``
        """
        try:
            version, written = form.written(fields, self._oldest.get(form.name))
            now = self._reactor.seconds()
            told = Told(self._next_id(), key, form.name, version, written, self.node, now, request_id)
            body = packed(told)
        except (MessagingError, NotPlainData) as error:
            return self._counted("event", fail(error))
        return self._counted("event", self._transport.publish(key, told.id, body))

    def _cast(
        self, way: Way, topic: str, form: Form, fields: Fields, deadline_s: float | None, node: str, request_id: str
    ) -> Deferred[None]:
        try:
            question = self._question(topic, form, fields, deadline_s, "", request_id)
            parcel = Parcel(way, topic, question.id, packed(question), node, deadline_s)
        except (MessagingError, NotPlainData) as error:
            return self._counted(way.value, fail(error))
        return self._counted(way.value, self._transport.send(parcel))

    def _counted(self, way: str, sent: Deferred[None]) -> Deferred[None]:
        counts = self._world.counts

        def failed(why: Any) -> Any:
            counts.sent(way, why.type.__name__)
            return why

        return sent.addCallbacks(lambda _: counts.sent(way, "taken"), failed)

    def _question(
        self, topic: str, form: Form, fields: Fields, deadline_s: float | None, reply_to: str, request_id: str
    ) -> Question:
        version, written = form.written(fields, self._oldest.get(form.name))
        now = self._reactor.seconds()
        return Question(
            self._next_id(), topic, form.name, version, written, self.node, now, deadline_s, reply_to, request_id
        )

    def _next_id(self) -> str:
        self._count += 1
        return f"{self._prefix}-{self._count}"

    def pin(self, name: str, version: int | None) -> None:
        """Write a form in no later version than the oldest live node reads; None: as the form says."""
        if version is None:
            self._oldest.pop(name, None)
        else:
            self._oldest[name] = version

    # ---- serving

    def serve(self, topic: str, methods: Iterable[Method], parallel: int | None = None) -> Server:
        """
        Do what is asked of a topic on this host, from now on until ``retire``; several may serve one topic here.

        :param parallel: most methods that run at a time; None: as the limits say
        """
        check_name(None, None, topic)
        by_name = {method.form.name: method for method in methods}
        server = Server(self._world, topic, by_name, parallel or self._limits.parallel)
        self._servers.append(server)
        return server

    async def retire(self, server: Server) -> None:
        """Let a server rest, and forget it: in a move when another one is ``ready``."""
        await server.rest()
        if server in self._servers:
            self._servers.remove(server)

    async def give_over(self, server: Server, patience_s: float) -> None:
        """
        Retire a server when another one of its topic gets messages on this bus: no call in between finds nobody.

        :param patience_s: where none comes, as none may, it is retired all the same
        """
        ends_at = self._reactor.seconds() + patience_s
        while not self._has_heir(server) and self._reactor.seconds() < ends_at:
            await deferLater(self._reactor, LOOK_S)
        await self.retire(server)

    def _has_heir(self, server: Server) -> bool:
        return any(
            each is not server and each.topic == server.topic and each.is_open and each.ready.called
            for each in self._servers
        )

    async def settled(self, patience_s: float) -> bool:
        """
        Wait until all that serve here get messages.

        :param patience_s: no longer than this; without a connection not at all
        :return: whether they do
        """
        ends_at = self._reactor.seconds() + patience_s
        while not all(server.ready.called for server in self._servers if server.is_open):
            if self._reactor.seconds() >= ends_at or self._transport.cause:
                return False
            await deferLater(self._reactor, LOOK_S)
        return True

    def subscribe(self, pattern: str, forms: Iterable[Form], take: Callable[[Event], object]) -> Subscription:
        """
        Get events that are published from now on, of these forms; others under the same keys are left alone.

        :param pattern: of keys: ``*`` stands for one word, ``#`` for any number
        :param take: is called on the reactor and must not wait
        """
        return Subscription(self._transport, pattern, {form.name: form for form in forms}, take)

    # ---- health

    def _changed(self) -> None:
        if self._transport.cause:
            self._calls.fail_all(f"the connection was lost: {self._transport.cause}")

    def health(self) -> list[PartHealth]:
        """``messaging``: whether messages go out; ``messages apart``: what waits for people, which is no failure."""
        apart = self._transport.set_aside()
        self._world.counts.apart(apart.parked, apart.dead)
        told = ""
        if apart.parked or apart.dead:
            told = f"{apart.parked} messages were set aside and {apart.dead} given up, look at their causes: "
            told += "; ".join(apart.causes)
        cause = self._transport.cause
        if cause:
            since = datetime.fromtimestamp(self._transport.since, UTC).isoformat(timespec="seconds")
            cause = f"since {since} no messages go out: {cause}"
        return [PartHealth("messaging", not cause, cause), PartHealth("messages apart", True, told)]
