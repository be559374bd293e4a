"""JSON bodies: what is refused, and in which words."""

from __future__ import annotations

from typing import Annotated, Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta
from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.rest import Document, Fault, Name, decode_document


class Tag(Document):
    """A member of a list."""

    label: str


class Thing(Document):
    """What the tests send."""

    name: Name
    enabled: bool | None = True
    tags: Annotated[list[str | None], Meta(max_length=3)] = []
    marks: list[Tag] = []
    by_key: dict[str, Tag] = {}


class ThingDocument(Document):
    """Its body."""

    thing: Thing


class DecodeTests(SynchronousTestCase):
    """``decode_document``."""

    def refusal(self, data: bytes) -> str:
        fault = self.assertRaises(Fault, decode_document, data, ThingDocument)
        self.assertEqual((fault.status, fault.title), (400, "Bad Request"))
        return str(fault.message)

    def test_good_document(self) -> None:
        """Members arrive as they were sent, absent ones with their default."""
        document = decode_document('{"thing": {"name": "Zürich \\u00e9"}}'.encode(), ThingDocument)
        self.assertEqual(document, ThingDocument(thing=Thing(name="Zürich é", enabled=True)))

    def test_malformed_says_where(self) -> None:
        """The byte at which JSON stops being JSON is named."""
        cases = {
            b'{"thing": {"name": "a",}}': "The JSON body is malformed: trailing comma in object (byte 23).",
            b'{"thing": x}': "The JSON body is malformed: invalid character (byte 10).",
            b'{"thing": {"name": "a"}} x': "The JSON body is malformed: trailing characters (byte 26).",
            b'{"thing": {"name"': "The JSON body is malformed: it ends too early, after byte 17.",
            b'{"thing": {"name": NaN}}': "The JSON body is malformed: invalid character (byte 19).",
        }
        for data, message in cases.items():
            self.assertEqual(self.refusal(data), message)

    def test_no_body(self) -> None:
        """Nothing and blanks are no document."""
        for data in (b"", b" \r\n"):
            self.assertEqual(self.refusal(data), "The request needs a JSON body, and has none.")

    def test_not_utf8(self) -> None:
        """The first wrong byte is named."""
        message = self.refusal(b'{"thing": {"name": "\xff"}}')
        self.assertEqual(message, "The JSON body is not UTF-8: invalid start byte at byte 20.")

    def test_lone_surrogate(self) -> None:
        """Half a surrogate pair is no character, so nothing that cannot be stored gets in."""
        for half in (b"\\ud800", b"\\udc00", b"\\ud800\\u0041"):
            self.refusal(b'{"thing": {"name": "' + half + b'"}}')

    def test_nul(self) -> None:
        """U+0000 is refused escaped and plain; an escaped backslash before ``u0000`` is text."""
        for data in (
            b'{"thing": {"name": "a\\u0000"}}',
            b'{"thing": {"name": "a\0"}}',
            b'{"thing":{"name":"\\\\\\u0000"}}',
        ):
            self.assertIn("U+0000", self.refusal(data))
        document = decode_document(b'{"thing": {"name": "a\\\\u0000"}}', ThingDocument)
        self.assertEqual(document.thing.name, "a\\u0000")

    def test_wrong_types_name_their_path(self) -> None:
        """Path, wanted type and given type, in words."""
        cases = {
            b"[]": "The JSON body: expected an object, got a list.",
            b'{"thing": 1}': "thing: expected an object, got an integer.",
            b'{"thing": {"name": null}}': "thing.name: expected a string, got null.",
            b'{"thing": {"name": "a", "enabled": "x"}}': "thing.enabled: expected true or false or null, got a string.",
            b'{"thing": {"name": "a", "tags": ["a", 2.5]}}': "thing.tags[1]: expected a string or null, got a number.",
        }
        for data, message in cases.items():
            self.assertEqual(self.refusal(data), message)

    def test_lengths(self) -> None:
        """Too long and empty are said with the limit."""
        cases = {
            b'{"thing": {"name": "%s"}}' % (b"x" * 256): "thing.name: longer than 255 characters.",
            b'{"thing": {"name": ""}}': "thing.name: must not be empty.",
            b'{"thing": {"name": "a", "tags": ["","","",""]}}': "thing.tags: longer than 3 items.",
        }
        for data, message in cases.items():
            self.assertEqual(self.refusal(data), message)

    def test_length_counts_characters(self) -> None:
        """255 characters of four bytes each are a name."""
        name = "\N{CLOUD}" * 255
        self.assertEqual(decode_document(f'{{"thing":{{"name":"{name}"}}}}'.encode(), ThingDocument).thing.name, name)

    def test_missing(self) -> None:
        """A missing member is named with its path."""
        self.assertEqual(self.refusal(b"{}"), "thing is missing.")
        self.assertEqual(self.refusal(b'{"thing": {}}'), "thing.name is missing.")

    def test_unknown_names_the_nearest(self) -> None:
        """A slip of the pen is answered with the member that was meant, at any depth."""
        cases = {
            b'{"thing": {"nmae": "a"}}': "thing.nmae is not a known member; did you mean name?",
            b'{"thnig": {}}': "thnig is not a known member; did you mean thing?",
            b'{"thing": {"name": "a", "marks": [{"lable": "x"}]}}': (
                "thing.marks[0].lable is not a known member; did you mean label?"
            ),
            b'{"thing": {"name": "a", "marks": [{"zzz": "x"}]}}': (
                "thing.marks[0].zzz is not a known member; known here: label."
            ),
        }
        for data, message in cases.items():
            self.assertEqual(self.refusal(data), message)

    def test_unknown_inside_a_mapping(self) -> None:
        """Below free keys the schema is still found."""
        message = self.refusal(b'{"thing": {"name": "a", "by_key": {"k": {"lable": "x"}}}}')
        self.assertIn("did you mean label?", message)

    def test_long_unknown_name_is_cut(self) -> None:
        """A refusal does not repeat a megabyte."""
        self.assertLess(len(self.refusal(b'{"%s": 1}' % (b"x" * 100_000))), 200)

    def test_deep_nesting(self) -> None:
        """A hundred thousand brackets are refused like any wrong body."""
        self.refusal(b"[" * 100_000)
        self.refusal(b'{"thing":' * 100_000)

    @given(st.binary(max_size=200))
    def test_any_bytes(self, data: bytes) -> None:
        """Whatever arrives is a document or a 400 with a cause."""
        try:
            decode_document(data, ThingDocument)
        except Fault as fault:
            self.assertEqual(fault.status, 400)
            self.assertTrue(fault.message.endswith((".", "?")))

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["thing", "name", "tags", "marks", "label", "x"]), inner, max_size=3)
            ),
            max_leaves=12,
        )
    )
    def test_any_json(self, value: Any) -> None:
        """Any JSON value is a document or a 400 that explains itself without msgspec's marks."""
        import json

        try:
            decode_document(json.dumps(value).encode(), ThingDocument)
        except Fault as fault:
            self.assertEqual(fault.status, 400)
            self.assertNotIn("`", fault.message)
