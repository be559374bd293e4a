"""The link: frames cut anywhere, calls, casts, errors, time-outs, the end."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.daemon._link import (
    MAX_FRAME_BYTES,
    BadFrame,
    Callee,
    Frames,
    Link,
    LinkLost,
    LinkTimeout,
    Message,
    RemoteError,
    frame,
)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class FramesTests(SynchronousTestCase):
    @given(bodies=st.lists(st.dictionaries(st.text(), PLAIN, max_size=3), max_size=4), cut=st.integers(1, 40))
    def test_any_cut(self, bodies: list[dict[str, Any]], cut: int) -> None:
        """Messages come out as they went in, however the stream is cut."""
        messages = [Message(id=index + 1, call="x", body=body) for index, body in enumerate(bodies)]
        stream = b"".join(frame(message) for message in messages)
        frames = Frames()
        found = []
        for start in range(0, len(stream), cut):
            found += list(frames.feed(stream[start : start + cut]))
        self.assertEqual(found, messages)

    def test_bad_frames(self) -> None:
        """What is too long, no JSON, or no message is refused."""
        for data in (
            struct.pack(">I", MAX_FRAME_BYTES + 1),
            struct.pack(">I", 1) + b"{",
            struct.pack(">I", 10) + b'{"id":"a"}',
        ):
            self.assertRaises(BadFrame, lambda data=data: list(Frames().feed(data)))


class Pair:
    """Two ends of a link; ``pump`` carries what was written."""

    def __init__(self, callees: dict[str, Callee]) -> None:
        self.clock = Clock()
        self.lost: list[str] = []
        self.near = Link({}, self.clock, lambda: self.lost.append("near"))
        self.far = Link(callees, self.clock, lambda: self.lost.append("far"))
        self.pipes = (StringTransport(), StringTransport())
        self.near.makeConnection(self.pipes[0])
        self.far.makeConnection(self.pipes[1])

    def pump(self) -> None:
        while any(pipe.value() for pipe in self.pipes):
            for pipe, link in ((self.pipes[0], self.far), (self.pipes[1], self.near)):
                data = pipe.value()
                pipe.clear()
                for byte in data:
                    link.dataReceived(bytes([byte]))

    def call(self, name: str, **body: Any) -> Deferred[Any]:
        called = Deferred.fromCoroutine(self.near.call(name, timeout_s=2.0, **body))
        self.pump()
        return called


class LinkTests(TestCase):
    def test_call(self) -> None:
        """A call gives the answer; a coroutine and a Deferred are waited for."""

        async def later(number: int) -> int:
            return number + 1

        waiting: Deferred[str] = Deferred()
        pair = Pair({"plain": lambda a: [a, {"b": 1}], "later": later, "waiting": lambda: waiting})
        self.assertEqual(self.successResultOf(pair.call("plain", a="ä")), ["ä", {"b": 1}])
        self.assertEqual(self.successResultOf(pair.call("later", number=1)), 2)
        called = pair.call("waiting")
        self.assertNoResult(called)
        waiting.callback("now")
        pair.pump()
        self.assertEqual(self.successResultOf(called), "now")
        self.assertEqual(pair.clock.getDelayedCalls(), [])

    def test_cast(self) -> None:
        """Nobody answers a cast."""
        said: list[str] = []

        def say(text: str) -> None:
            said.append(text)

        pair = Pair({"say": say})
        pair.near.cast("say", text="x")
        pair.pump()
        self.assertEqual(said, ["x"])
        self.assertEqual(pair.pipes[1].value(), b"")

    def test_errors(self) -> None:
        """What the function raises arrives as its kind and words; so does a call that nobody knows."""

        def refuse() -> None:
            raise ValueError("not that")

        pair = Pair({"refuse": refuse, "odd": object})
        error = self.failureResultOf(pair.call("refuse"), RemoteError).value
        self.assertEqual((error.kind, error.cause), ("ValueError", "not that"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertIn("knows no such call", str(self.failureResultOf(pair.call("nothing"), RemoteError).value))
        self.assertEqual(self.failureResultOf(pair.call("odd"), RemoteError).value.kind, "TypeError")
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.failureResultOf(pair.call("refuse", unknown=1), RemoteError)
        self.flushLoggedErrors(TypeError)

    def test_timeout(self) -> None:
        """No answer in time is an error; the answer that comes later is ignored."""
        waiting: Deferred[int] = Deferred()
        pair = Pair({"waiting": lambda: waiting})
        called = pair.call("waiting")
        pair.clock.advance(2.1)
        self.failureResultOf(called, LinkTimeout)
        waiting.callback(1)
        pair.pump()

    def test_end(self) -> None:
        """When the other end goes, calls fail, ``lost`` is called once, and later calls fail at once."""
        pair = Pair({"waiting": Deferred})
        called = pair.call("waiting")
        pair.near.connectionLost(Failure(ConnectionError()))
        self.failureResultOf(called, LinkLost)
        self.failureResultOf(pair.call("waiting"), LinkLost)
        pair.near.cast("anything")
        self.assertEqual(pair.lost, ["near"])
        self.assertTrue(pair.near.is_lost)
        self.assertEqual(pair.clock.getDelayedCalls(), [])

    def test_garbage(self) -> None:
        """Bytes that are no frame close the link."""
        pair = Pair({})
        pair.near.dataReceived(b"\xff" * 8)
        self.assertTrue(pair.pipes[0].disconnecting or pair.pipes[0].disconnected)
