"""Workers are met by those who may, and by nobody else."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.daemon import _succession
from cloudd.daemon._rendezvous import Rendezvous, Visit, VisitFailed, Welcome, place_of, places_in, visit
from cloudd.daemon._succession import bring_listeners, meet_workers

reactor: Any = _reactor


class MeetingCase(TestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="meet-"))  # a unix socket's path has at most 107 bytes
        self.questions: list[Visit] = []
        self.gifts: list[int] = []
        self.meeting = Rendezvous(reactor, self.folder, self.receive)
        self.meeting.open()
        self.addCleanup(self.folder.rmdir)
        self.addCleanup(self.meeting.close)
        self.place = place_of(self.folder, os.getpid())

    def receive(self, question: Visit, brought: tuple[int, ...]) -> tuple[Welcome, Sequence[int]]:
        self.questions.append(question)
        for descriptor in brought:
            os.write(descriptor, b"met")
            os.close(descriptor)
        if question.generation == 13:
            raise ValueError("not that one")
        return Welcome(name="front-1", role="front", state="serving", generation=4, faces=["api"]), self.gifts

    def visit(self, question: Visit, brought: Sequence[int]) -> Deferred[Any]:
        return deferToThread(visit, self.place, question, brought)


class RendezvousTests(MeetingCase):
    async def test_descriptors_go_both_ways(self) -> None:
        """What is brought arrives, what is given comes back, and the kernel says whose process it is."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        self.gifts = [listener.fileno()]
        with theirs:
            met = await self.visit(Visit(purpose="take", generation=5), [theirs.fileno()])
        self.assertEqual((met.pid, met.welcome.name, met.welcome.generation), (os.getpid(), "front-1", 4))
        self.assertEqual(self.questions, [Visit(purpose="take", generation=5)])
        self.assertEqual(ours.recv(10), b"met")
        with socket.socket(fileno=met.descriptors[0]) as given:
            self.assertEqual(given.getsockname(), listener.getsockname())
        self.assertFalse(os.get_inheritable(listener.fileno()))

    async def test_refusals(self) -> None:
        """What the worker raises is told; a later protocol and an empty hand are refused by name."""
        for question, cause in (
            (Visit(purpose="give", generation=13), "not that one"),
            (Visit(purpose="give", protocol=2), "version 1"),
        ):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                error = await self.assertFailure(self.visit(question, [theirs.fileno()]), VisitFailed)
            self.assertIn(cause, str(error))
            self.assertFalse(error.nobody)
        error = await self.assertFailure(self.visit(Visit(purpose="anchor"), []), VisitFailed)
        self.assertIn("version 1", str(error))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    async def test_garbage(self) -> None:
        """Bytes that are no question close that visit alone."""

        def send(garbage: bytes) -> bytes:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
                caller.settimeout(60)
                caller.connect(str(self.place))
                caller.send(garbage)
                return caller.recv(100)

        for garbage in (b"\xff\x00", b"[]", json.dumps({"purpose": "root"}).encode()):
            self.assertEqual(await deferToThread(send, garbage), b"")
        ours, theirs = socket.socketpair()
        with ours, theirs:
            await self.visit(Visit(purpose="anchor"), [theirs.fileno()])

    async def test_successor(self) -> None:
        """A new anchor takes the listening sockets of those that answer, and removes what the dead left."""
        (self.folder / "worker-1.sock").touch()
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        self.gifts = [listener.fileno()]
        found = await deferToThread(meet_workers, self.folder)
        ((met, end),) = found.workers
        with end, found.listeners["api"] as taken:
            self.assertEqual(end.recv(10), b"met")
            self.assertEqual(taken.getsockname(), listener.getsockname())
        self.assertEqual(met.welcome.state, "serving")
        self.assertEqual(places_in(self.folder), [self.place])
        self.assertEqual((await deferToThread(meet_workers, self.folder, [os.getpid()])).workers, [])


class PatienceTests(SynchronousTestCase):
    def test_more_for_one_that_is_busy(self) -> None:
        """A worker that does not answer at once is not taken for lost: what it serves would end."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / f"worker-{os.getpid()}.sock").touch()
        patience = []

        def visit(_place: Path, _question: Visit, _brought: list[int], timeout_s: float) -> None:
            patience.append(timeout_s)
            raise VisitFailed("busy")

        self.patch(_succession, "visit", visit)
        self.assertEqual(meet_workers(folder).workers, [])
        self.assertGreaterEqual(patience[0], 10)


class ListenTests(MeetingCase):
    async def test_other_sockets(self) -> None:
        """A worker is brought those sockets that it does not have, and no others; one that refuses is logged."""
        had, fresh = socket.create_server(("127.0.0.1", 0)), socket.socketpair()
        self.addCleanup(had.close)
        for end in fresh:
            self.addCleanup(end.close)
        self.gifts = [had.fileno()]
        found = await deferToThread(meet_workers, self.folder)
        self.addCleanup(found.workers[0][1].close)
        kept = found.listeners["api"]
        self.addCleanup(kept.close)
        self.gifts, self.questions = [], []
        await deferToThread(bring_listeners, found, {"api": kept}, self.folder)
        self.assertEqual(self.questions, [])
        await deferToThread(bring_listeners, found, {"api": kept, "s3": fresh[1]}, self.folder)
        self.assertEqual(self.questions, [Visit(purpose="listen", faces=["s3"])])
        self.assertEqual(fresh[0].recv(10), b"met")
        self.meeting.close()
        await deferToThread(bring_listeners, found, {"api": fresh[1]}, self.folder)


class NobodyTests(SynchronousTestCase):
    def test_nobody(self) -> None:
        """A process that is gone is told from one that does not answer."""
        folder = Path(tempfile.mkdtemp(prefix="meet-"))
        self.addCleanup(folder.rmdir)
        place = place_of(folder, 7)
        error = self.assertRaises(VisitFailed, visit, place, Visit(purpose="anchor"), [0])
        self.assertTrue(error.nobody)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as mute:
            mute.bind(str(place))
            self.addCleanup(place.unlink)
            mute.listen()
            error = self.assertRaises(VisitFailed, visit, place, Visit(purpose="anchor"), [0], 0.05)
            self.assertIn("does not answer within 0.05 s", str(error))
            self.assertFalse(error.nobody)
