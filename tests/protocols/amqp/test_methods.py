"""Each method of the specification goes out and comes back; our bytes are those of the standard."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.amqp._methods import (
    find_method,
    pack_header,
    pack_method,
    specification,
    unpack_header,
    unpack_method,
)
from cloudd.protocols.amqp._values import Malformed, Unencodable

from .test_values import TABLES

SHORT = st.text(max_size=60)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "bit": st.booleans(),
    "octet": st.integers(0, 255),
    "short": st.integers(0, 2**16 - 1),
    "long": st.integers(0, 2**32 - 1),
    "longlong": st.integers(0, 2**64 - 1),
    "timestamp": st.integers(0, 2**64 - 1),
    "shortstr": SHORT,
    "longstr": st.binary(max_size=100),
    "table": TABLES,
}
METHODS = [method for klass in specification().classes for method in klass.methods]


@st.composite
def calls(draw: st.DrawFn) -> tuple[Any, list[Any]]:
    method = draw(st.sampled_from(METHODS))
    return method, [draw(FIELDS[field.type]) for field in method.fields]


class MethodTests(SynchronousTestCase):
    @given(calls())
    def test_there_and_back(self, call: tuple[Any, list[Any]]) -> None:
        """All methods, all kinds of fields."""
        method, arguments = call
        self.assertEqual(unpack_method(pack_method(method, arguments)), (method, arguments))

    @given(calls(), st.data())
    def test_cut_off(self, call: tuple[Any, list[Any]], data: st.DataObject) -> None:
        """At whatever byte; and with a byte too many."""
        packed = pack_method(*call)
        cut = data.draw(st.integers(0, len(packed) - 1))
        self.assertRaises(Malformed, unpack_method, packed[:cut])
        self.assertRaises(Malformed, unpack_method, packed + b"\x00")

    def test_bytes(self) -> None:
        """Known ones: numbers of class and method, text with its length in bytes, bits together in one byte."""
        for name, arguments, payload in (
            ("basic.publish", [0, "", "é", True, False], b"\x00\x3c\x00\x28\x00\x00\x00\x02\xc3\xa9\x01"),
            ("basic.nack", [5, True, True], b"\x00\x3c\x00\x78\x00\x00\x00\x00\x00\x00\x00\x05\x03"),
            ("confirm.select", [False], b"\x00\x55\x00\x0a\x00"),
            ("connection.blocked", ["low"], b"\x00\x0a\x00\x3c\x03low"),
            (
                "queue.declare",
                [0, "q", False, True, False, False, True, {"x-max-length": 5}],
                b"\x00\x32\x00\x0a\x00\x00\x01q\x12\x00\x00\x00\x12\x0cx-max-lengthI\x00\x00\x00\x05",
            ),
        ):
            self.assertEqual(pack_method(find_method(name), arguments), payload)

    def test_what_cannot_be_encoded(self) -> None:
        """It is named, before anything is sent."""
        method = find_method("queue.declare")
        for place, value, words in (
            (1, "q" * 256, "queue: a short string has 256 bytes"),
            (1, 7, "queue: 7 is no shortstr"),
            (0, 70_000, "reserved-1: 70000 is no short"),
            (7, {"x": object()}, "arguments: x: object has no form"),
        ):
            arguments: list[Any] = [0, "q", False, False, False, False, False, {}]
            arguments[place] = value
            self.assertIn(words, str(self.assertRaises(Unencodable, pack_method, method, arguments)))

    def test_unknown_methods(self) -> None:
        """A class or a method that there is not."""
        self.assertIn("no method 11 of class 90", str(self.assertRaises(Malformed, unpack_method, b"\0\x5a\0\x0b")))
        self.assertRaises(Malformed, unpack_method, b"\0\x3c\0\xff")

    def test_answers(self) -> None:
        """Which methods wait for which, as txAMQP asks it; it knows by this name whether there will be an answer."""
        self.assertEqual([found.name for found in find_method("basic.get").responses], ["get-ok", "get-empty"])
        self.assertTrue(find_method("queue.declare-ok").response)
        waiting = {method for method in METHODS if any(field.name == "no-wait" for field in method.fields)}
        self.assertEqual(waiting, set())


class HeaderTests(SynchronousTestCase):
    @given(st.data(), st.integers(0, 2**64 - 1))
    def test_there_and_back(self, data: st.DataObject, size: int) -> None:
        """Any set of properties."""
        fields = specification().classes.byname["basic"].fields
        chosen = data.draw(st.lists(st.sampled_from(fields.items), unique_by=id))
        properties = {field.name: data.draw(FIELDS[field.type]) for field in chosen}
        packed = pack_header(size, properties)
        self.assertEqual(unpack_header(packed), (size, properties))
        cut = data.draw(st.integers(0, len(packed) - 1))
        self.assertRaises(Malformed, unpack_header, packed[:cut])

    def test_bytes(self) -> None:
        """Known ones."""
        self.assertEqual(
            pack_header(3, {"delivery-mode": 2, "content-type": "a/b", "reply-to": None}),
            b"\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x90\x00\x03a/b\x02",
        )

    def test_what_there_is_not(self) -> None:
        """A property that messages do not have is refused instead of left out."""
        error = self.assertRaises(Unencodable, pack_header, 0, {"delivery mode": 2})
        self.assertIn("'delivery mode'", str(error))
        self.assertRaises(Malformed, unpack_header, b"\x00\x0a" + b"\0" * 12)
