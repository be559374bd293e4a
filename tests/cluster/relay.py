# -*- test-case-name: tests.cluster.test_relay -*-
"""
A bad link: passes TCP connections on, with a delay, less than all bytes a second, stalls and resets.

What a network loses TCP sends again, so a program sees loss as a stall; when too much is lost, as a reset.  Chances are
those of a piece of at most 16 KiB.  A relay runs in a thread with a loop of its own; its figures may be changed at any
time and hold for the next piece.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from contextlib import suppress

from attrs import define, field

PIECE = 16_384
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


@define(eq=False)
class Relay:
    """
    :param target: host and port
    :param address: where it listens, on a port of its own
    :param delay_s: each way
    :param stall: chance that a piece waits for ``stall_s``, and whatever follows with it
    :param reset: chance that a connection is reset
    :param bytes_per_s: of a connection, each way; 0: any number
    :ivar stalls: so far; ``resets``, too
    """

    target: tuple[str, int]
    address: str = "127.0.0.1"
    delay_s: float = 0.0
    stall: float = 0.0
    stall_s: float = 1.0
    reset: float = 0.0
    bytes_per_s: int = 0
    chance: random.Random = field(factory=lambda: random.Random(1))
    stalls: int = field(init=False, default=0)
    resets: int = field(init=False, default=0)
    port: int = field(init=False, default=0)
    _loop: asyncio.AbstractEventLoop = field(init=False, factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = field(init=False, default=None)
    _tasks: set[asyncio.Task[None]] = field(init=False, factory=set)

    def start(self) -> None:
        listening = socket.create_server((self.address, self.port))
        self.port = listening.getsockname()[1]
        listening.setblocking(False)
        self._thread = threading.Thread(target=self._run, args=(listening,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """With all its connections."""
        self._loop.call_soon_threadsafe(self._end)
        if self._thread is not None:
            self._thread.join(10)

    def _run(self, listening: socket.socket) -> None:
        asyncio.set_event_loop(self._loop)
        self._spawn(self._listen(listening))
        self._loop.run_forever()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        listening.close()
        self._loop.close()

    def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._loop.stop()

    def _spawn(self, work: object) -> None:
        task: asyncio.Task[None] = self._loop.create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self, listening: socket.socket) -> None:
        while True:
            near, _ = await self._loop.sock_accept(listening)
            near.setblocking(False)
            self._spawn(self._link(near))

    async def _link(self, near: socket.socket) -> None:
        far = socket.socket()
        far.setblocking(False)
        try:
            await self._loop.sock_connect(far, self.target)
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ways = [asyncio.ensure_future(self._pass(*way)) for way in ((near, far), (far, near))]
            try:
                await asyncio.gather(*ways)
            finally:
                for way in ways:
                    way.cancel()
        except OSError:
            for each in (near, far):
                with suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        finally:
            near.close()
            far.close()

    async def _pass(self, source: socket.socket, target: socket.socket) -> None:
        while data := await self._loop.sock_recv(source, PIECE):
            if self.chance.random() < self.reset:
                self.resets += 1
                raise ConnectionResetError
            await asyncio.sleep(self._wait_s(len(data)))
            await self._loop.sock_sendall(target, data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _wait_s(self, size: int) -> float:
        wait_s = self.delay_s
        if self.chance.random() < self.stall:
            self.stalls += 1
            wait_s += self.stall_s
        return wait_s + (size / self.bytes_per_s if self.bytes_per_s else 0.0)
