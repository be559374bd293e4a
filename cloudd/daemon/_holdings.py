# -*- test-case-name: tests.daemon.test_processes -*-
"""
What an anchor holds: the state folder's lock, the listening sockets, the control socket's.

They are made new, or inherited from the anchor's former self (``_inheritance``), or found with the workers of a killed
anchor (``_succession``).  ``take`` gets them before the reactor runs, so that twistd reports what cannot be had.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cloudd.interfaces.settings import Settings
from cloudd.protocols.control import bind_control

from ._inheritance import Inheritance
from ._listening import ListenError, bind_all, close_all, endpoints_of, is_auto, url_of
from ._state_folder import ProcessLock, StateFolder, StateFolderError
from ._succession import Found, adopt_orphans, bring_listeners, meet_workers
from ._tls_front import TLSFront

OLD_WORKERS_S = 12.0


class Holdings:
    """
    :param tls: takes the listening sockets of faces with TLS
    :param inheritance: None: twistd has started this anchor
    :ivar listeners: face -> what workers accept on
    :ivar found: workers of an earlier anchor, which have taken us for theirs
    :ivar urls: face -> base URL
    """

    log = Logger()

    def __init__(
        self, reactor: Any, state: StateFolder, settings: Settings, tls: TLSFront, inheritance: Inheritance | None
    ) -> None:
        self._reactor = reactor
        self._state = state
        self._settings = settings
        self._tls = tls
        self._inheritance = inheritance
        self._lock: ProcessLock | None = None
        self.control: socket.socket | None = None
        self.listeners: dict[str, socket.socket] = {}
        self.found = Found()
        self.urls: dict[str, str] = {}

    def take(self) -> None:
        """
        Get all.  Blocks; to be called before the reactor runs.

        :raises StateFolderError: the folder cannot be used, or another daemon has it
        :raises ListenError: a face cannot listen
        :raises SocketError: the control socket cannot be made
        """
        self._state.create()
        self._lock = self._take_lock()
        adopt_orphans()
        self._tls.find(self._inheritance.tls if self._inheritance is not None else {})
        self.found = meet_workers(self._state.run)
        self._take_inherited_listeners()
        bound = self._bind()
        self.listeners = self._tls.take(bound, self.found.listeners)
        bring_listeners(self.found, self.listeners, self._state.run)
        self.urls = {
            face: url_of(listener, getattr(self._settings.listen, f"{face}_url", ""), secure=face in self._tls.faces)
            for face, listener in bound.items()
        }
        inherited = self._inheritance
        self.control = (
            socket.socket(fileno=inherited.control) if inherited else bind_control(self._state.control_socket)
        )

    def leave(self) -> Mapping[str, Any]:
        """Their descriptors, for ``Inheritance``; the workers' ends of TLS channels are met again with the workers."""
        assert self._lock is not None and self.control is not None
        listeners = {face: own.fileno() for face, own in self.listeners.items() if face not in self._tls.faces}
        return {
            "listeners": listeners,
            "tls": self._tls.leave(),
            "control": self.control.fileno(),
            "lock": self._lock.descriptor,
        }

    def close_listeners(self) -> None:
        """While anybody has a listening descriptor, newcomers connect and wait for nobody."""
        close_all(self.listeners)

    def release(self) -> None:
        """Let go of the rest: the daemon ends."""
        if self.control is not None:
            self.control.close()
            self._state.control_socket.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.release()

    async def await_old_workers(self) -> None:
        """The store must not be prepared while workers of a killed anchor, which were not met, still end requests."""
        deadline = self._reactor.seconds() + OLD_WORKERS_S
        while holder := self._old_worker():
            if self._reactor.seconds() > deadline and holder > 1:
                self.log.error("killing process {pid}: a worker of an earlier cloudd that does not end", pid=holder)
                os.kill(holder, signal.SIGKILL)
                deadline += 1.0
            waiting: Deferred[None] = Deferred()
            self._reactor.callLater(0.02, waiting.callback, None)
            await waiting

    def _take_lock(self) -> ProcessLock:
        if self._inheritance is not None:
            return ProcessLock(self._state.anchor_lock, shared=False, descriptor=self._inheritance.lock)
        lock = ProcessLock(self._state.anchor_lock, shared=False)
        holder = lock.take()
        if holder:
            lock.release()
            raise StateFolderError(
                f"another cloudd (process {holder}) uses the state folder {self._state.path}: "
                "stop it, or name another folder with --state"
            )
        return lock

    def _take_inherited_listeners(self) -> None:
        """Our own sockets are better than those that workers brought: they are the same, and all are there."""
        for face, descriptor in self._inheritance.listeners.items() if self._inheritance is not None else ():
            brought = self.found.listeners.pop(face, None)
            if brought is not None:
                brought.close()
            self.found.listeners[face] = socket.socket(fileno=descriptor)

    def _bind(self) -> dict[str, socket.socket]:
        """
        Bind all faces on which no worker of a killed anchor listens.

        A worker that cannot be met, since it is stopped for example, may need moments until it lets go of the ports.
        """
        endpoints = endpoints_of(self._settings, is_root=os.geteuid() == 0)
        yielding = ("metadata",) if is_auto(self._settings) else ()
        deadline = self._reactor.seconds() + OLD_WORKERS_S
        while True:
            found = self.found.listeners
            kept = {
                face: found[face] for face in found if endpoints.get(face) and self._tls.may_keep(face, found[face])
            }
            try:
                wanted = {face: text for face, text in endpoints.items() if face not in kept}
                bound = bind_all(wanted, self._tls.held, yielding)
                return {face: kept.get(face) or bound[face] for face in endpoints if face in kept or face in bound}
            except ListenError:
                if not self._old_worker() or self._reactor.seconds() > deadline:
                    raise
            time.sleep(0.05)  # the reactor does not run yet
            if not self.found.workers:
                self.found = meet_workers(self._state.run)

    def _old_worker(self) -> int:
        """Process id of a worker of an earlier daemon; 0: there is none (left)."""
        lock = ProcessLock(self._state.workers_lock, shared=False)
        try:
            return lock.take()
        finally:
            lock.release()
