"""Paths, header paths and query strings."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.swift._answers import Refusal
from cloudd.protocols.swift._paths import Place, Query, decode, parse_header_path, parse_place

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
SEGMENTS = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1)


class PlaceTests(SynchronousTestCase):
    def refused(self, path: bytes) -> int:
        refusal: Refusal = self.assertRaises(Refusal, parse_place, path)
        return refusal.status

    def test_levels(self) -> None:
        """Account, container and object are told apart; a slash at the end names nothing more."""
        self.assertEqual(parse_place(b"/v1/AUTH_a"), Place("AUTH_a"))
        self.assertEqual(parse_place(b"/v1/AUTH_a/"), Place("AUTH_a"))
        self.assertEqual(parse_place(b"/v1.0/AUTH_a/c/"), Place("AUTH_a", "c"))
        self.assertEqual(parse_place(b"/v1/AUTH_a/c/o"), Place("AUTH_a", "c", "o"))
        self.assertEqual(parse_place(b"/v1/AUTH_a/c/o/p//"), Place("AUTH_a", "c", "o/p//"))

    def test_routes(self) -> None:
        """Logs and metrics see templates, never names."""
        self.assertEqual(parse_place(b"/v1/a").route, "/v1/{account}")
        self.assertEqual(parse_place(b"/v1/a/b").route, "/v1/{account}/{container}")
        self.assertEqual(parse_place(b"/v1/a/b/c/d").route, "/v1/{account}/{container}/{object}")

    def test_decoded_once(self) -> None:
        """Double encoding stays data, a plus is a plus, dots are names like any other."""
        self.assertEqual(parse_place(b"/v1/a/c/%2525+x").object, "%25+x")
        self.assertEqual(parse_place(b"/v1/a/c/%2e%2e/%2E%2E/etc").object, "../../etc")
        self.assertEqual(parse_place(b"/v1/a/c/../x").object, "../x")
        self.assertEqual(parse_place(b"/v1/a/%2e%2e").container, "..")
        self.assertEqual(parse_place(b"/v1/a/c%2Fo"), Place("a", "c", "o"))

    def test_not_text(self) -> None:
        """Bytes that are not UTF-8, encoded surrogates, overlong forms and NUL are Swift's 412."""
        for path in (b"/v1/a/c/%ff", b"/v1/a/c/%00", b"/v1/a/\xff", b"/v1/a/c/%ed%a0%80", b"/v1/a/%c0%af"):
            self.assertEqual(self.refused(path), 412, path)

    def test_other_shapes(self) -> None:
        """Paths that name nothing get the statuses of Swift's proxy."""
        self.assertEqual(self.refused(b"/"), 404)
        self.assertEqual(self.refused(b"/v1"), 412)
        self.assertEqual(self.refused(b"/v1//c"), 412)
        self.assertEqual(self.refused(b"/v1/a//o"), 412)
        self.assertEqual(self.refused(b"/v2/a"), 400)

    @given(SEGMENTS, SEGMENTS, NAMES)
    def test_round_trip(self, account: str, container: str, name: str) -> None:
        """Whatever is quoted whole comes back the same."""
        path = f"/v1/{quote(account)}/{quote(container)}/{quote(name)}".encode()
        self.assertEqual(parse_place(path), Place(account, container, name))

    @given(st.binary())
    def test_any_bytes(self, path: bytes) -> None:
        """No path whatsoever raises anything but a refusal."""
        try:
            parse_place(b"/" + path)
        except Refusal as refusal:
            self.assertIn(refusal.status, (400, 404, 412))


class HeaderPathTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """With and without the first slash, percent-decoded once."""
        self.assertEqual(parse_header_path(b"c/o/p", "Destination"), ("c", "o/p"))
        self.assertEqual(parse_header_path(b"/c/a%20b%252F", "Destination"), ("c", "a b%2F"))

    def test_incomplete(self) -> None:
        """Both names are needed; the refusal names the header."""
        for value in (b"", b"c", b"c/", b"//o"):
            refusal = self.assertRaises(Refusal, parse_header_path, value, "X-Copy-From")
            self.assertEqual(refusal.status, 412)
            self.assertIn("X-Copy-From", refusal.cause)

    def test_bad_text(self) -> None:
        """Names in headers are checked like names in paths."""
        self.assertEqual(self.assertRaises(Refusal, decode, b"%00").status, 412)


class QueryTests(SynchronousTestCase):
    def test_values(self) -> None:
        """Plus is a blank, percent is decoded, the last of equals counts, a bare name is empty."""
        query = Query(b"prefix=a+b%2B&limit=1&limit=2&bulk-delete")
        self.assertEqual(query.get("prefix"), "a b+")
        self.assertEqual(query.get("limit"), "2")
        self.assertIn("bulk-delete", query)
        self.assertEqual(query.text("bulk-delete"), "")
        self.assertIsNone(query.get("marker"))

    def test_bad_text(self) -> None:
        """A value that is not UTF-8 is refused with its name, but only where it is used."""
        query = Query(b"marker=%ff&other=%fe&%fd=1")
        refusal = self.assertRaises(Refusal, query.get, "marker")
        self.assertEqual((refusal.status, refusal.cause), (400, '"marker" parameter not valid UTF-8'))

    def test_flags(self) -> None:
        """Swift's words for true."""
        self.assertTrue(Query(b"reverse=On").flag("reverse"))
        self.assertFalse(Query(b"reverse=false").flag("reverse"))
        self.assertFalse(Query(b"").flag("reverse"))
