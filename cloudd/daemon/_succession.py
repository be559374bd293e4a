# -*- test-case-name: tests.daemon.test_rendezvous -*-
"""
What an anchor finds that takes the place of one that was killed, or of its own former self: workers that serve, and
the sockets on which they listen.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Collection, Mapping
from pathlib import Path

from attrs import define, field
from twisted.logger import Logger

from ._rendezvous import Met, Visit, VisitFailed, place_of, places_in, visit

log = Logger()
#: A worker that is not met is replaced, and what it serves ends: a busy one must have time.  Dead ones refuse at once.
MEET_S = 15.0
_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


@define
class Found:
    """
    Workers that have taken us for their anchor.

    :ivar workers: each with our end of its new link
    :ivar listeners: by face; ours
    """

    workers: list[tuple[Met, socket.socket]] = field(factory=list)
    listeners: dict[str, socket.socket] = field(factory=dict)

    def add(self, met: Met, end: socket.socket) -> None:
        """One more; of its listening sockets those are kept that nobody brought before."""
        self.workers.append((met, end))
        for face, descriptor in zip(met.welcome.faces, met.descriptors, strict=False):
            if face in self.listeners:
                os.close(descriptor)
            else:
                self.listeners[face] = socket.socket(fileno=descriptor)


def meet_workers(run: Path, known: Collection[int] = (), timeout_s: float = MEET_S) -> Found:
    """
    Go to every worker of this state folder, and be its anchor from now on.  Blocks.

    What dead workers left in the folder is removed; one that does not answer is left alone, it may do so later.

    :param run: the folder of their sockets
    :param known: process ids of workers that are ours already
    :param timeout_s: longest wait for each
    """
    found = Found()
    for place in places_in(run):
        if any(place.name == f"worker-{pid}.sock" for pid in known):
            continue
        ours, theirs = socket.socketpair()
        try:
            met = visit(place, Visit(purpose="anchor"), [theirs.fileno()], timeout_s)
        except VisitFailed as error:
            ours.close()
            if error.nobody:
                place.unlink(missing_ok=True)
            else:
                log.warn("a worker of an earlier anchor was not met: {cause}", cause=str(error))
        else:
            found.add(met, ours)
        finally:
            theirs.close()
    return found


def bring_listeners(found: Found, wanted: Mapping[str, socket.socket], run: Path) -> None:
    """
    Let workers that were met listen on sockets that they have not: those of changed endpoints, channels of a new TLS
    front.  Blocks.

    :param wanted: face -> socket
    """
    others = {face: fresh for face, fresh in wanted.items() if found.listeners.get(face) is not fresh}
    if not others:
        return
    for met, _end in found.workers:
        question = Visit(purpose="listen", faces=list(others))
        try:
            visit(place_of(run, met.pid), question, [fresh.fileno() for fresh in others.values()])
        except VisitFailed as error:
            log.error("worker {worker} listens where it did before: {cause}", worker=met.welcome.name, cause=str(error))


def adopt_orphans() -> None:
    """
    Be the parent of workers whose loader ends (``PR_SET_CHILD_SUBREAPER``, prctl(2)), so that they are reaped.

    Without effect where the kernel or the C library does not have it: init reaps them then.
    """
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        log.info("this system knows no subreapers")
