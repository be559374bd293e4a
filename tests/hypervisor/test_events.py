"""libvirt's event loop on the reactor, asked as libvirt itself asks."""

from __future__ import annotations

import os
from typing import Any

import libvirt
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from cloudd.hypervisor import events_on


def settle() -> Deferred[None]:
    """What other threads have asked of the reactor has been done when this fires."""
    settled: Deferred[None] = Deferred()
    reactor.callFromThread(settled.callback, None)  # type: ignore[attr-defined]
    return settled


class HandleTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.events = events_on(reactor)
        self.before = self.events.watched
        self.readable, self.writable = os.pipe()
        self.addCleanup(os.close, self.writable)

    def add(self, descriptor: int, events: int, callback: Any) -> int:
        return int(libvirt.virEventAddHandle(descriptor, events, callback, "given back"))

    async def test_tells_what_can_be_read(self) -> None:
        """The callback gets the watch, libvirt's own number of the descriptor, what happened and what was given."""
        self.addCleanup(os.close, self.readable)
        told: Deferred[tuple[Any, ...]] = Deferred()

        def callback(*facts: Any) -> None:
            os.read(self.readable, 10)
            told.callback(facts)

        watch = await deferToThread(self.add, self.readable, libvirt.VIR_EVENT_HANDLE_READABLE, callback)
        os.write(self.writable, b"x")
        self.assertEqual(await told, (watch, self.readable, libvirt.VIR_EVENT_HANDLE_READABLE, "given back"))
        libvirt.virEventRemoveHandle(watch)
        await settle()
        self.assertEqual(self.events.watched, self.before)

    async def test_closed_right_after_removal(self) -> None:
        """Another file may have the number at once: what becomes of that one is not told."""
        told: list[Any] = []
        watch = self.add(self.readable, libvirt.VIR_EVENT_HANDLE_READABLE, lambda *facts: told.append(facts))
        await settle()
        libvirt.virEventRemoveHandle(watch)
        os.close(self.readable)
        readable, writable = os.pipe()
        self.addCleanup(os.close, readable)
        self.addCleanup(os.close, writable)
        self.assertEqual(readable, self.readable)
        os.write(writable, b"x")
        await settle()
        await settle()
        self.assertEqual(told, [])

    async def test_told_of_the_other_end(self) -> None:
        """A hang-up is told to who waits for something, and the descriptor is watched no more."""
        self.addCleanup(os.close, self.readable)
        told: Deferred[int] = Deferred()
        watch = self.add(self.writable, libvirt.VIR_EVENT_HANDLE_READABLE, lambda _w, _f, what, _o: told.callback(what))
        await settle()
        os.close(self.readable)
        self.readable = os.open(os.devnull, os.O_RDONLY)
        self.assertTrue(await told)
        libvirt.virEventRemoveHandle(watch)
        await settle()

    def test_one_reactor(self) -> None:
        """A second one is refused, as libvirt has one event loop for ever."""
        self.addCleanup(os.close, self.readable)
        self.assertIs(events_on(reactor), self.events)
        self.assertRaises(RuntimeError, events_on, Clock())


class TimerTests(TestCase):
    timeout = 60

    async def test_goes_on_until_it_is_changed(self) -> None:
        events = events_on(reactor)
        before = events.watched
        thrice: Deferred[None] = Deferred()
        told: list[Any] = []

        def callback(timer: int, given: Any) -> None:
            told.append((timer, given))
            if len(told) == 3:
                libvirt.virEventUpdateTimeout(timer, -1)
                thrice.callback(None)

        timer = await deferToThread(libvirt.virEventAddTimeout, 1, callback, "given back")
        await thrice
        await settle()
        self.assertEqual(told, [(timer, "given back")] * 3)
        libvirt.virEventRemoveTimeout(timer)
        await settle()
        self.assertEqual(events.watched, before)
