# -*- test-case-name: tests.daemon.test_hypervisor -*-
"""
The way to this host's hypervisor, which the kernel lends to generations: guests and their events outlive these.

libvirt-python is there only where real servers are to run, so it is imported when it is asked for.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from attrs import define, field
from twisted.internet.defer import Deferred, succeed

from cloudd.interfaces.settings import Settings

from ._threads import WorkerThreads

if TYPE_CHECKING:
    from cloudd.hypervisor import Hypervisor

CALLS, SLOW = 8, 4
LENT = "guests"
ROLES = ("agent", "all")
OWN_SOCKET = Path("libvirt") / "run" / "libvirt-sock"  # in the state folder, by script/libvirt
SOCKETS = ("/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock")


@define(eq=False)
class LentHypervisor:
    """
    What ``Resources.extra["guests"]`` is in the agent's worker.

    :param uri: of libvirt
    :ivar missing: why there is none, in words, once it was asked for
    """

    _reactor: Any
    uri: str
    missing: str = field(init=False, default="")
    _hypervisor: Hypervisor | None = field(init=False, default=None)
    _calls: WorkerThreads | None = field(init=False, default=None)
    _slow: WorkerThreads | None = field(init=False, default=None)

    def listens(self) -> bool:
        """Whether somebody is behind the socket of the URI; of a URI without one: yes."""
        parts = urlsplit(self.uri)
        if parts.hostname or not parts.scheme.startswith("qemu"):
            return True
        return any(_answers(place) for place in parse_qs(parts.query).get("socket", SOCKETS))

    def hypervisor(self) -> Hypervisor | None:
        """Not connected before it is started; None: see ``missing``."""
        if self._hypervisor is None:
            try:
                from cloudd.hypervisor import Hypervisor
            except ImportError as error:
                self.missing = f"libvirt-python is not installed ({error})"
                return None
            self._calls = _started(self._reactor, CALLS)
            self._hypervisor = Hypervisor(self._reactor, self.uri, self._calls)
        return self._hypervisor

    def slow(self) -> WorkerThreads:
        """Threads for copies of disks, which take minutes."""
        if self._slow is None:
            self._slow = _started(self._reactor, SLOW)
        return self._slow

    def close(self) -> Deferred[None]:
        """Let go of the hypervisor; guests go on."""
        ended = succeed(None) if self._hypervisor is None else self._hypervisor.stop()
        return ended.addBoth(self._end_threads)

    def _end_threads(self, result: Any) -> Any:
        for threads in (self._calls, self._slow):
            if threads is not None:
                threads.stop()
        return result


def hypervisor_of(role: str, settings: Settings, reactor: Any) -> LentHypervisor | None:
    """
    None: this worker has nothing to do with real guests.

    :param role: of the worker
    """
    if role not in ROLES or settings.compute.driver not in ("auto", "libvirt"):
        return None
    return LentHypervisor(reactor, settings.compute.libvirt_uri or _found_uri(settings.state))


def _found_uri(state: Path) -> str:
    own = state / OWN_SOCKET
    return f"qemu+unix:///system?socket={own}" if own.parent.is_dir() else "qemu:///system"


def _started(reactor: Any, count: int) -> WorkerThreads:
    threads = WorkerThreads(reactor, count)
    threads.start()
    return threads


def _answers(place: str) -> bool:
    with socket.socket(socket.AF_UNIX) as trying:
        trying.settimeout(0)  # a listener takes it at once, or its queue is full
        try:
            trying.connect(place)
        except BlockingIOError:
            return True
        except (OSError, ValueError):
            return False
        return True
