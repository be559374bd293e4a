"""Snapshot and resume at every byte of generated conversations equals never having stopped."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.http import NotExportable, Request, _connection, _files
from tests.contracts.object_store import is_open

from .conversation import TEXT, Conversation, TestSite, bytewise, chunked, get, post
from .transports import MemoryTransport

CONTENT = bytes(range(256)) * 2


@define(eq=False)
class Written:
    """A body on its way into a file; its state is the size, and the file."""

    descriptor: int = field(factory=lambda: os.memfd_create("upload"))
    size: int = 0

    def write(self, data: bytes) -> None:
        self.size += os.pwrite(self.descriptor, data, self.size)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


@define(eq=False)
class SlowlyWritten(Written):
    """Takes one piece at a time: what it is told goes into the file when the test lets it."""

    busy: list[Deferred[None]] = field(factory=list)

    def write(self, data: bytes) -> Deferred[None]:  # type: ignore[override]
        super().write(data)
        waiting: Deferred[None] = Deferred()
        self.busy.append(waiting)
        return waiting


class MovingSite(TestSite):
    """
    ``TestSite`` with handlers that move with open files.

    :ivar busy: what sinks wait for
    """

    def __init__(self) -> None:
        super().__init__()
        self.busy: list[Deferred[None]] = []

    def go_on(self) -> bool:
        """Let all sinks that are busy take more, those that were left behind as well; false when there are none."""
        busy, self.busy[:] = list(self.busy), []
        for waiting in busy:
            waiting.callback(None)
        return bool(busy)

    async def answer_slow(self, request: Request) -> None:
        """As ``answer_store``, with a sink that is busy each time."""
        descriptors = request.resumed_descriptors or (os.memfd_create("upload"),)
        size = 0 if request.resumed is None else request.resumed["size"]
        await self.store(request, SlowlyWritten(descriptors[0], size, self.busy))

    async def answer_store(self, request: Request) -> None:
        """A body into a file; answers with its size and digest."""
        if request.resumed is None:
            written = Written()
        else:
            (descriptor,) = request.resumed_descriptors
            written = Written(descriptor, request.resumed["size"])
        await self.store(request, written)

    async def store(self, request: Request, written: Written) -> None:
        request.can_move(lambda: {"size": written.size}, written.close, lambda: (written.descriptor,))
        try:
            size = await request.body.stream_to(written)
            digest = hashlib.md5(os.pread(written.descriptor, written.size + 1, 0)).hexdigest()
        finally:
            written.close()
        request.respond(200, [TEXT], b"%d %d %s" % (size, written.size, digest.encode()))

    async def answer_file(self, request: Request) -> None:
        """``CONTENT`` from one offset to another one out of a file."""
        start, stop = map(int, request.query.split(b"-"))
        if request.resumed is None:
            source = Written()
            source.write(CONTENT)
            request.start(200, [TEXT], stop - start)
        else:
            (descriptor,) = request.resumed_descriptors
            source = Written(descriptor, len(CONTENT))
        request.can_move(dict, source.close, lambda: (source.descriptor,))
        try:
            sent = request.sent_bytes
            await request.send_file(source.descriptor, start + sent, stop - start - sent)
        finally:
            source.close()
        request.finish()

    async def answer_count(self, request: Request) -> None:
        """A chunked answer of unknown length, as fast as the client takes it."""
        count = (request.resumed or {"count": 0})["count"]
        if not request.started:
            request.start(200, [TEXT])
        request.can_move(lambda: {"count": count}, lambda: None)
        while count < 12:
            count += 1
            waiting = request.write(b"%d " % count)
            if waiting is not None:
                await waiting
        request.finish()


def chunks_of(body: bytes, sizes: list[int]) -> bytes:
    """``body`` in chunks of these sizes and a rest."""
    framed = b""
    for size in sizes:
        piece, body = body[:size], body[size:]
        if piece:
            framed += b"%x\r\n%b\r\n" % (len(piece), piece)
    return framed + (b"%X;a=b\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\nX-T: 1\r\n\r\n"


BODIES = st.binary(max_size=60)
CHUNKED = st.builds(chunks_of, BODIES, st.lists(st.integers(1, 20), max_size=4))
SPANS = st.tuples(st.integers(0, 512), st.integers(0, 512)).map(sorted)
REQUESTS = st.one_of(
    st.sampled_from(["hello?1", "known", "nothing", "stream", "count", "missing"]).map(
        lambda path: get(b"/" + path.encode())
    ),
    st.builds(lambda span: get(b"/file?%d-%d" % tuple(span)), SPANS),
    st.builds(post, st.sampled_from([b"/echo", b"/store", b"/slow", b"/sum", b"/refuse"]), BODIES),
    st.builds(chunked, st.sampled_from([b"/echo", b"/store", b"/slow", b"/sum"]), CHUNKED),
    st.builds(lambda body: post(b"/store", body, b"Expect: 100-continue"), BODIES),
)
CONVERSATIONS = st.lists(REQUESTS, min_size=1, max_size=4).map(b"".join)


def converse(pieces: Iterable[bytes], room: int, moving: bool) -> tuple[bytes, bool, int]:
    """
    Say the pieces, and take what is answered, to the end.

    :param room: bytes that the client takes at once
    :param moving: move between any two pieces, and each time that the client has taken something
    :return: what was heard, whether the connection is open, and how often it was moved
    """
    site = MovingSite()
    conversation = Conversation(site=site, transport=MemoryTransport(room=room))
    moves = 0

    def move() -> None:
        nonlocal moves
        if moving:
            try:
                conversation.move()
                moves += 1
            except NotExportable as error:
                assert error.cause == "the connection is being closed", error.cause

    for piece in pieces:
        conversation.say(piece)
        move()
        while len(conversation.transport.written) > room or site.busy:
            conversation.before += conversation.transport.take()
            move()
            if site.go_on():
                move()
    heard, is_open_still = conversation.state
    conversation.transport.lose()
    assert len(site.over) + len(site.away) == len(site.handled), site
    return heard, is_open_still, moves


class MovingPropertyTests(SynchronousTestCase):
    def setUp(self) -> None:
        # Files go out a few bytes at a time, so that a move falls on every byte of them.
        self.patch(_connection, "SMALL_FILE_BYTES", 0)
        self.patch(_files, "PIECE_BYTES", 3)
        self.lowest = os.memfd_create("lowest")
        os.close(self.lowest)

    def assert_nothing_left(self) -> None:
        """No descriptor of a handler is open, here or there."""
        self.assertFalse(is_open(self.lowest))

    @settings(max_examples=50, deadline=None)
    @given(message=CONVERSATIONS, room=st.sampled_from([2, 10, 300, 1 << 20]))
    def test_after_every_byte(self, message: bytes, room: int) -> None:
        """Moved after each byte that is said, and each few that are taken."""
        expected = converse([message], room, moving=False)
        heard, is_open_still, moves = converse(bytewise(message), room, moving=True)
        self.assertEqual((heard, is_open_still), expected[:2])
        self.assertGreaterEqual(moves, len(message) - 1 if is_open_still else 0)
        self.assert_nothing_left()

    @settings(max_examples=6, deadline=None)
    @given(message=CONVERSATIONS, room=st.sampled_from([7, 1 << 20]))
    def test_at_every_byte(self, message: bytes, room: int) -> None:
        """Moved once while it is said, at each byte in turn."""
        expected = converse([message], room, moving=False)
        for cut in range(1, len(message)):
            self.assertEqual(converse([message[:cut], message[cut:]], room, moving=True)[:2], expected[:2], cut)
        self.assert_nothing_left()

    @settings(max_examples=40, deadline=None)
    @given(
        message=CONVERSATIONS,
        cuts=st.lists(st.integers(1, 200), max_size=12),
        room=st.integers(1, 400),
    )
    def test_pieces(self, message: bytes, cuts: list[int], room: int) -> None:
        """In pieces of any size."""
        pieces, rest = [], message
        for size in cuts:
            pieces.append(rest[:size])
            rest = rest[size:]
        expected = converse([message], room, moving=False)
        moved = converse([piece for piece in (*pieces, rest) if piece], room, moving=True)
        self.assertEqual(moved[:2], expected[:2])
        self.assert_nothing_left()

    def test_the_answers_are_real(self) -> None:
        """What is compared above."""
        message = post(b"/store", b"abc") + get(b"/file?5-300") + get(b"/count")
        heard, is_open_still, moves = converse(bytewise(message), 10, moving=True)
        self.assertIn(b"3 3 " + hashlib.md5(b"abc").hexdigest().encode(), heard)
        self.assertIn(b"\r\n\r\n" + CONTENT[5:300] + b"HTTP/1.1 200 OK", heard)
        self.assertTrue(heard.endswith(b"3\r\n12 \r\n0\r\n\r\n"))
        self.assertTrue(is_open_still)
        self.assertGreater(moves, len(message) + 10)
