"""Random bytes and random conversations: no crash, no difference between cuts, no request out of nothing."""

from __future__ import annotations

import itertools
import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from .conversation import Conversation, chunked, converse, get, post

FRAGMENTS = st.sampled_from(
    [
        b"GET ", b"POST ", b"/hello", b"/echo", b"/sum", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r", b"\n", b" ", b":",
        b"Host: x", b"Content-Length: ", b"Transfer-Encoding: ", b"chunked", b"0", b"5", b"a", b"\0", b"\xff", b";",
        b"Connection: close", b"Expect: 100-continue", b"5\r\nhello\r\n", b"0\r\n\r\n", get(b"/hello"),
    ]
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One good request of any kind."""
    kind = draw(st.sampled_from(["get", "post", "chunked"]))
    fields = draw(st.lists(st.sampled_from([b"X-A: b", b"X-Empty:", b"Accept: */*", b"x-a: c"]), max_size=3))
    if kind == "get":
        path = draw(st.sampled_from([b"/hello", b"/stream", b"/known", b"/nothing", b"/none"]))
        return get(path, *fields, method=draw(st.sampled_from([b"GET", b"HEAD", b"DELETE"])))
    path = draw(st.sampled_from([b"/echo", b"/sum"]))
    if kind == "post":
        return post(path, draw(st.binary(max_size=50)), *fields)
    pieces = draw(st.lists(st.binary(min_size=1, max_size=20), max_size=4))
    extension = draw(st.sampled_from([b"", b";x=y"]))
    framed = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces) + b"0\r\n"
    return chunked(path, framed + draw(st.sampled_from([b"", b"X-T: v\r\n"])) + b"\r\n", *fields)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """``data`` in pieces."""
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[begin:end] for begin, end in itertools.pairwise(ends)]


class FuzzTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
    @given(messages=st.lists(requests(), min_size=1, max_size=5), places=st.lists(st.integers(0, 10_000), max_size=9))
    def test_conversations(self, messages: list[bytes], places: list[int]) -> None:
        """Good requests get their answers, each one, in order, in pieces and on the move."""
        data = b"".join(messages)
        alone = b"".join(converse([message])[0] for message in messages)
        self.assertEqual(converse([data]), (alone, True))
        self.assertEqual(converse(cut(data, places)), (alone, True))
        self.assertEqual(converse(cut(data, places), moving=True), (alone, True))

    @settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
    @given(fragments=st.lists(FRAGMENTS, max_size=25), places=st.lists(st.integers(0, 10_000), max_size=9))
    def test_fragments(self, fragments: list[bytes], places: list[int]) -> None:
        """Nonsense built of the protocol's own words: same requests and same statuses however it is cut."""
        data = b"".join(fragments)
        whole, pieces = Conversation(), Conversation()
        whole.say(data)
        pieces.say(*cut(data, places))
        outcome = [
            ([(r.method, r.target) for r in talk.site.handled], re.findall(rb"HTTP/1\.1 (\d)\d\d ", talk.heard))
            for talk in (whole, pieces)
        ]
        self.assertEqual(outcome[0], outcome[1])

    @settings(deadline=None, max_examples=200)
    @given(data=st.binary(max_size=200), places=st.lists(st.integers(0, 200), max_size=5))
    def test_noise(self, data: bytes, places: list[int]) -> None:
        """Random bytes are refused or waited for; nothing is handled, nothing raises."""
        conversation = Conversation()
        conversation.say(*cut(data, places))
        self.assertEqual(conversation.site.handled, [])
