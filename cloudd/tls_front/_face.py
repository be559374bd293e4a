# -*- test-case-name: tests.tls_front.test_relay -*-
"""One port: accepts clients, and gives each one that has shaken hands to a worker over the channel."""

from __future__ import annotations

import errno
import socket
from collections import Counter, deque
from typing import Any

from ._certificates import CertificateStore
from ._loop import HUP, IN, OUT, Loop
from ._relay import CLOSED, HANDSHAKE, LINGER, WAITING, Relay

HANDSHAKE_S = 10.0
#: For clients whose worker has closed: longest silence, and longest time at all, of those that go on sending; longest
#: time without progress of those that have not taken all of the answer.
LINGER_SILENCE_S, LINGER_S, STUCK_S = 5.0, 30.0, 120.0
_ACCEPTS = 32
_REST_S = 0.5
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS})


class Face:
    """
    One port and its channel.

    :ivar relays: open connections
    :ivar handshakes: count by version
    :ivar failures: count of failed handshakes by reason
    :ivar received: plain bytes from clients
    :ivar sent: plain bytes to clients
    :ivar is_orphaned: every worker, and the anchor, has closed its end of the channel
    """

    def __init__(self, name: str, loop: Loop, store: CertificateStore) -> None:
        self.name = name
        self.loop = loop
        self.store = store
        self.relays: set[Relay] = set()
        self.accepted = 0
        self.handshakes: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.received = self.sent = 0
        self.is_orphaned = False
        self.listener: socket.socket | None = None
        self._channel: socket.socket | None = None
        self._listening = False
        self._resting = False
        self._waiting: deque[Relay] = deque()
        self._limited: deque[tuple[float, int, Relay]] = deque()  # when a stage may have lasted too long
        self._stuck: set[Relay] = set()

    # ---- what is served

    def serve(self, listener: socket.socket, channel: socket.socket) -> None:
        """Accept on ``listener`` and give connections to who reads the other end of ``channel``; both are ours now."""
        self._drop_sockets()
        listener.setblocking(False)
        channel.setblocking(False)
        self.listener, self._channel = listener, channel
        self.is_orphaned = False
        self.loop.watch(channel.fileno(), 0, self._channel_ready)
        self.listen()
        self._offer()

    @property
    def sockets(self) -> list[socket.socket]:
        """The listening socket and our end of the channel; nothing when this face accepts no more."""
        return [self.listener, self._channel] if self.listener is not None and self._channel is not None else []

    def listen(self) -> None:
        """Accept, if there is a certificate to do it with and nobody waits for a worker."""
        wanted = (
            self.listener is not None
            and bool(self.store.certificates)
            and not self._waiting
            and not self.is_orphaned
            and not self._resting
        )
        if self.listener is not None and wanted != self._listening:
            self._listening = wanted
            if wanted:
                self.loop.watch(self.listener.fileno(), IN, self._accept)
            else:
                self.loop.forget(self.listener.fileno())

    def stop(self) -> None:
        """Accept no more; connections live on."""
        listener, self.listener = self.listener, None
        if listener is not None:
            self.loop.close(listener)
        self._listening = False

    def cut_off(self) -> None:
        """Drop all connections."""
        for relay in list(self.relays):
            relay.drop()
        self._drop_sockets()

    def _drop_sockets(self) -> None:
        self.stop()
        channel, self._channel = self._channel, None
        if channel is not None:
            self.loop.close(channel)

    def _accept(self, _events: int) -> None:
        assert self.listener is not None
        for _ in range(_ACCEPTS):
            try:
                client, address = self.listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._rest()
                    return
                continue  # this client has given up
            self._take(client, address)

    def _take(self, client: socket.socket, address: tuple[Any, ...]) -> None:
        try:
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            relay = Relay(self, client, address)
        except OSError:
            client.close()
            return
        self.accepted += 1
        self.relays.add(relay)
        relay.begin()
        self._limited.append((self.loop.now + HANDSHAKE_S, HANDSHAKE, relay))

    def _rest(self) -> None:
        """Not accepting leaves the socket readable, so stop looking at it for a moment instead of spinning."""
        self.failures["out of descriptors"] += 1
        self._resting = True
        self.listen()
        self.loop.later(_REST_S, self._rested)

    def _rested(self) -> None:
        self._resting = False
        self._offer()
        self.listen()

    # ---- to a worker

    def hand_over(self, relay: Relay) -> None:
        """``relay`` has shaken hands: give it to a worker, or let it wait for one."""
        if self._waiting or not self._give(relay):
            self._waiting.append(relay)
            self.listen()

    def _give(self, relay: Relay) -> bool:
        """False: not now."""
        if self._channel is None:
            return False
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError:
            self._rest()
            return False
        try:
            ours.setblocking(False)
            theirs.setblocking(False)  # a fact of the open socket: it goes along
            socket.send_fds(self._channel, [relay.origin()], [theirs.fileno()])
        except OSError as error:
            ours.close()
            return self._not_given(relay, self._channel, error)
        finally:
            theirs.close()
        relay.handed_over(ours)
        return True

    def _not_given(self, relay: Relay, channel: socket.socket, error: OSError) -> bool:
        """Whether there is nothing left to give."""
        if isinstance(error, BlockingIOError):
            self.loop.change(channel.fileno(), OUT)
        elif error.errno in _EXHAUSTED:
            self._rest()
        elif error.errno in {errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED}:
            self._nobody_reads()
        else:
            relay.drop()  # its client has left
            return True
        return False

    def _channel_ready(self, events: int) -> None:
        assert self._channel is not None
        if events & HUP:
            self._nobody_reads()
            return
        self.loop.change(self._channel.fileno(), 0)
        self._offer()

    def _offer(self) -> None:
        waiting = self._waiting
        while waiting:
            if waiting[0].stage == WAITING and not self._give(waiting[0]):
                return
            waiting.popleft()
        self.listen()

    def _nobody_reads(self) -> None:
        """All workers have gone, and the anchor: clients wait until another one brings a new channel."""
        self.is_orphaned = True
        if self._channel is not None:
            self.loop.forget(self._channel.fileno())
        self.listen()

    # ---- what relays say

    def handshake_failed(self, reason: str) -> None:
        """A client was turned away."""
        self.failures[reason.lower()] += 1

    def relay_failed(self, relay: Relay) -> None:
        """An error that was not foreseen, being handled: without an end epoll would tell of the same event for ever."""
        self.failures["unforeseen"] += 1
        self.loop.failed()
        relay.drop()

    def lingers(self, relay: Relay) -> None:
        """Its worker has ended; the client is awaited for some time."""
        self._limited.append((self.loop.now + LINGER_S, LINGER, relay))

    def ended(self, relay: Relay) -> None:
        """It is closed."""
        self.relays.discard(relay)
        self._stuck.discard(relay)

    # ---- time

    def sweep(self) -> None:
        """Drop what has taken too long; to be called about once a second."""
        now = self.loop.now
        kept: deque[tuple[float, int, Relay]] = deque()
        for until, stage, relay in self._limited:
            if relay.stage != stage or relay.stage == CLOSED:
                continue
            if now < until and not (stage == LINGER and now - relay.since > LINGER_SILENCE_S):
                kept.append((until, stage, relay))
                continue
            if stage == HANDSHAKE:
                self.handshake_failed("timed out")
            relay.drop()
        self._limited = kept
        for relay in [relay for relay in self._stuck if now - relay.since > STUCK_S]:
            relay.drop()

    def worker_gone(self, relay: Relay) -> None:
        """Its worker has closed while the client has not taken all: watch whether it does."""
        self._stuck.add(relay)
