# -*- test-case-name: tests.hypervisor.test_events -*-
"""
libvirt's event loop on the reactor.

libvirt asks for descriptors and timers from whichever thread it happens to be in, and closes a descriptor as soon as
it has said that it is no longer wanted.  So each wish is noted at once and carried out in the reactor thread, in order,
and what the reactor watches is a duplicate of the descriptor: a number that was closed may be another file by then.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

import libvirt
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

READABLE: int = libvirt.VIR_EVENT_HANDLE_READABLE
WRITABLE: int = libvirt.VIR_EVENT_HANDLE_WRITABLE
BROKEN: int = libvirt.VIR_EVENT_HANDLE_ERROR | libvirt.VIR_EVENT_HANDLE_HANGUP

_registered: list[ReactorEvents] = []


def events_on(reactor: Any) -> ReactorEvents:
    """
    Register the reactor as libvirt's event loop; must come before the first connection is opened.

    :raises RuntimeError: another reactor is registered in this process, which cannot be undone
    """
    if not _registered:
        _registered.append(ReactorEvents(reactor))
        _registered[0].register()
    if _registered[0].reactor is not reactor:
        raise RuntimeError("libvirt has another reactor of this process as its event loop")
    return _registered[0]


class ReactorEvents:
    """The six functions that libvirt calls; they may be called in any thread."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self._ids = itertools.count(1)
        self._handles: dict[int, _Handle] = {}
        self._timers: dict[int, _Timer] = {}

    def register(self) -> None:
        libvirt.virEventRegisterImpl(
            self.add_handle,
            self.update_handle,
            self.remove_handle,
            self.add_timer,
            self.update_timer,
            self.remove_timer,
        )
        # Otherwise libvirt prints each error, also those that are caught.
        libvirt.registerErrorHandler(lambda *_: None, None)

    @property
    def watched(self) -> int:
        """How many descriptors and timers libvirt has now."""
        return len(self._handles) + len(self._timers)

    def add_handle(self, descriptor: int, events: int, callback: Callable[..., None], opaque: Any) -> int:
        watch = next(self._ids)
        handle = _Handle(self.reactor, watch, descriptor, events, callback, opaque)
        self._handles[watch] = handle
        self.reactor.callFromThread(handle.apply)
        return watch

    def update_handle(self, watch: int, events: int) -> None:
        handle = self._handles.get(watch)
        if handle is not None:
            handle.events = events
            self.reactor.callFromThread(handle.apply)

    def remove_handle(self, watch: int) -> int:
        handle = self._handles.pop(watch, None)
        if handle is None:
            return -1
        handle.events = 0
        self.reactor.callFromThread(handle.close)
        return 0

    def add_timer(self, interval_ms: int, callback: Callable[..., None], opaque: Any) -> int:
        timer = next(self._ids)
        self._timers[timer] = _Timer(self.reactor, timer, interval_ms, callback, opaque)
        self.reactor.callFromThread(self._timers[timer].apply)
        return timer

    def update_timer(self, timer: int, interval_ms: int) -> None:
        known = self._timers.get(timer)
        if known is not None:
            known.interval_ms = interval_ms
            self.reactor.callFromThread(known.apply)

    def remove_timer(self, timer: int) -> int:
        known = self._timers.pop(timer, None)
        if known is None:
            return -1
        known.interval_ms = -1
        self.reactor.callFromThread(known.close)
        return 0


@implementer(IReadWriteDescriptor)
class _Handle:
    """
    One descriptor.

    :ivar events: what libvirt waits for now; 0: nothing, and it is not told of anything
    """

    def __init__(
        self, reactor: Any, watch: int, descriptor: int, events: int, callback: Callable[..., None], opaque: Any
    ) -> None:
        self.events = events
        self._reactor = reactor
        self._watch = watch
        self._theirs = descriptor
        self._own = os.dup(descriptor)
        self._callback = callback
        self._opaque = opaque
        self._closed = False

    def apply(self) -> None:
        if self._closed:
            return
        (self._reactor.addReader if self.events & READABLE else self._reactor.removeReader)(self)
        (self._reactor.addWriter if self.events & WRITABLE else self._reactor.removeWriter)(self)

    def close(self) -> None:
        """Let go; what libvirt keeps with it is freed from outside its own call, as it asks for."""
        self._closed = True
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        os.close(self._own)
        libvirt.virEventInvokeFreeCallback(self._opaque)

    def fileno(self) -> int:
        return self._own

    def logPrefix(self) -> str:
        return "libvirt"

    def doRead(self) -> None:
        self._tell(READABLE)

    def doWrite(self) -> None:
        self._tell(WRITABLE)

    def connectionLost(self, reason: Failure) -> None:
        self._tell(BROKEN)  # the reactor has stopped watching it

    def _tell(self, events: int) -> None:
        if self.events & events or (self.events and events & BROKEN):
            self._callback(self._watch, self._theirs, events, self._opaque)


class _Timer:
    """
    One timer, which goes on until it is changed.

    :ivar interval_ms: 0: as often as can be; -1: not now
    """

    def __init__(self, reactor: Any, timer: int, interval_ms: int, callback: Callable[..., None], opaque: Any) -> None:
        self.interval_ms = interval_ms
        self._reactor = reactor
        self._timer = timer
        self._callback = callback
        self._opaque = opaque
        self._due: Any = None

    def apply(self) -> None:
        if self._due is not None and self._due.active():
            self._due.cancel()
        self._due = None
        if self.interval_ms >= 0:
            self._due = self._reactor.callLater(self.interval_ms / 1000, self._fire)

    def close(self) -> None:
        self.apply()
        libvirt.virEventInvokeFreeCallback(self._opaque)

    def _fire(self) -> None:
        self._due = None
        if self.interval_ms < 0:
            return
        try:
            self._callback(self._timer, self._opaque)
        finally:
            if self._due is None:
                self.apply()
