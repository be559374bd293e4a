"""Listing queries and bodies."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.swift._answers import Refusal
from cloudd.protocols.swift._listings import read_limit, read_listing, render
from cloudd.protocols.swift._paths import Query
from storage import AccountFacts, CommonPrefix, ContainerFacts, Listing, ObjectFacts

ACCOUNT = AccountFacts(name="AUTH_x", metadata={}, container_count=1, object_count=2, bytes_used=3, created_us=0)
CONTAINER = ContainerFacts(
    account="AUTH_x", name='a"b', metadata={}, object_count=2, bytes_used=3, created_us=0, modified_us=1_500_000
)


def an_object(name: str) -> ObjectFacts:
    return ObjectFacts(name=name, size=7, etag="0" * 32, content_type="text/plain", modified_us=1_000_001, metadata={})


class QueryTests(SynchronousTestCase):
    def test_all(self) -> None:
        """Every parameter arrives decoded."""
        query = Query(b"prefix=p%2F&delimiter=%2f&marker=m+m&end_marker=e&limit=5&reverse=true&format=json")
        self.assertEqual(
            read_listing(query),
            Listing(prefix="p/", delimiter="/", marker="m m", end_marker="e", limit=5, reverse=True),
        )
        self.assertEqual(read_listing(Query(b"")), Listing(limit=10_000))

    def test_limit(self) -> None:
        """Above the greatest is 412; what is no number counts as absent."""
        self.assertEqual(read_limit(Query(b"limit=10000")), 10_000)
        self.assertEqual(read_limit(Query(b"limit=0")), 0)
        self.assertEqual(read_limit(Query(b"limit=0007")), 7)
        for text in (b"", b"-1", b"abc", b"1.5", b"%C2%B2"):
            self.assertEqual(read_limit(Query(b"limit=" + text)), 10_000, text)
        for text in (b"10001", b"9" * 10_000):
            self.assertEqual(self.assertRaises(Refusal, read_limit, Query(b"limit=" + text)).status, 412)


class RenderTests(SynchronousTestCase):
    rows = (an_object("ä & <b>"), CommonPrefix("dir/"))

    def test_text(self) -> None:
        """One name a line."""
        self.assertEqual(render("text/plain", CONTAINER, self.rows), "ä & <b>\ndir/\n".encode())
        self.assertEqual(render("text/plain", CONTAINER, ()), b"")

    def test_json(self) -> None:
        """The members of Swift's rows, no others."""
        self.assertEqual(
            json.loads(render("application/json", CONTAINER, self.rows)),
            [
                {
                    "bytes": 7,
                    "hash": "0" * 32,
                    "name": "ä & <b>",
                    "content_type": "text/plain",
                    "last_modified": "1970-01-01T00:00:01.000001",
                },
                {"subdir": "dir/"},
            ],
        )
        self.assertEqual(
            json.loads(render("application/json", ACCOUNT, [CONTAINER])),
            [
                {
                    "name": 'a"b',
                    "count": 2,
                    "bytes": 3,
                    "last_modified": "1970-01-01T00:00:01.500000",
                    "storage_policy": "Policy-0",
                }
            ],
        )
        self.assertEqual(render("application/json", CONTAINER, ()), b"[]")

    def test_xml(self) -> None:
        """Swift's document, escaped."""
        self.assertEqual(
            render("application/xml", CONTAINER, self.rows).decode(),
            '<?xml version="1.0" encoding="UTF-8"?>\n<container name="a&quot;b"><object>'
            f"<name>ä &amp; &lt;b&gt;</name><hash>{'0' * 32}</hash><bytes>7</bytes><content_type>text/plain"
            "</content_type><last_modified>1970-01-01T00:00:01.000001</last_modified></object>"
            '<subdir name="dir/"><name>dir/</name></subdir></container>',
        )
        account = render("text/xml", ACCOUNT, [CONTAINER, CommonPrefix("p")]).decode()
        self.assertIn('<account name="AUTH_x">\n<container><name>a"b</name><count>2</count>', account)
        self.assertIn('</container>\n<subdir name="p"></subdir>\n</account>', account)

    @given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)))
    def test_any_names(self, names: list[str]) -> None:
        """JSON gives every name back; XML stays readable and gives back all that XML can carry."""
        rows = [an_object(name) for name in names] + [CommonPrefix(name) for name in names]
        body = json.loads(render("application/json", CONTAINER, rows))
        self.assertEqual([row.get("name", row.get("subdir")) for row in body], names * 2)
        root = ElementTree.fromstring(render("application/xml", CONTAINER, rows))
        for element, name in zip(root, names * 2, strict=True):
            found = element.findtext("name")
            assert found is not None
            self.assertEqual(len(found), len(name))
            if name.isprintable():
                self.assertEqual(found, name)
            if element.tag == "subdir":
                self.assertEqual(element.get("name"), found)
