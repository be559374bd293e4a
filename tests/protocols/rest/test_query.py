"""Queries, pages and links."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.rest import Fault, Links, Query, page_of, parse_query


class QueryTests(SynchronousTestCase):
    """``parse_query`` and ``Query``."""

    def test_decoded(self) -> None:
        """Percent and plus are decoded once, blank values are kept, the last of a repeated name counts."""
        query = parse_query(b"name=a%20b+c&x=&name=%2541")
        self.assertEqual(query.pairs, (("name", "a b c"), ("x", ""), ("name", "%41")))
        self.assertEqual((query.get("name"), query.get("x"), query.get("y")), ("%41", "", None))
        self.assertIn("x", query)
        self.assertNotIn("y", query)

    def test_refused(self) -> None:
        """Bytes that are no UTF-8, U+0000 and heaps of parameters."""
        for raw in (b"name=%ff", b"name=\xff", b"name=%00", b"%00=a", b"&".join([b"a=b"] * 101)):
            self.assertEqual(self.assertRaises(Fault, parse_query, raw).status, 400)

    def test_flags(self) -> None:
        """Truth in the spellings that clients use; anything else is refused, not guessed."""
        for value in (b"true", b"True", b"1", b"yes"):
            self.assertIs(parse_query(b"enabled=" + value).flag("enabled"), True)
        for value in (b"false", b"False", b"0"):
            self.assertIs(parse_query(b"enabled=" + value).flag("enabled"), False)
        self.assertIsNone(parse_query(b"").flag("enabled"))
        fault = self.assertRaises(Fault, parse_query(b"enabled=maybe").flag, "enabled")
        self.assertEqual(fault.message, "Query parameter enabled: expected true or false, got 'maybe'.")

    def test_presence(self) -> None:
        """``?nocatalog`` is on by being there and off by saying so."""
        self.assertTrue(parse_query(b"nocatalog").present("nocatalog"))
        self.assertTrue(parse_query(b"nocatalog=1").present("nocatalog"))
        self.assertFalse(parse_query(b"nocatalog=0").present("nocatalog"))
        self.assertFalse(parse_query(b"").present("nocatalog"))

    def test_limit(self) -> None:
        """Whole numbers above 0, at most 1,000."""
        self.assertEqual(parse_query(b"limit=5").limit(), 5)
        self.assertEqual(parse_query(b"limit=5000").limit(), 1000)
        self.assertIsNone(parse_query(b"").limit())
        for raw in (b"limit=0", b"limit=-1", b"limit=x", b"limit=", b"limit=1.5", b"limit=%D9%A3"):
            self.assertEqual(self.assertRaises(Fault, parse_query(raw).limit).status, 400)

    def test_comparisons(self) -> None:
        """Exact and inexact filters on one name all have to pass; those on other names do not count."""
        cases = {
            b"": True,
            b"name=Alpha": True,
            b"name=alpha": False,
            b"name__contains=lph": True,
            b"name__contains=LPH": False,
            b"name__icontains=LPH": True,
            b"name__startswith=Al&name__endswith=pha": True,
            b"name__startswith=Al&name__endswith=x": False,
            b"name__istartswith=aL": True,
            b"name__iendswith=HA": True,
            b"other=x": True,
        }
        for raw, expected in cases.items():
            self.assertIs(parse_query(raw).matches("name", "Alpha"), expected, raw)
        self.assertFalse(parse_query(b"name=a").matches("name", None))


class PageTests(SynchronousTestCase):
    """``page_of``."""

    def test_everything_without_limit(self) -> None:
        """Without limit and marker the order given stays and nothing follows."""
        self.assertEqual(page_of(["b", "a"], Query(), str), (["b", "a"], None))

    def test_bad_marker_gives_rest(self) -> None:
        """A marker whose item is gone still says where to go on."""
        self.assertEqual(page_of(["a", "c"], parse_query(b"marker=b"), str), (["c"], None))

    @given(st.sets(st.text(min_size=1, max_size=6).filter(lambda text: "\0" not in text)), st.integers(1, 5))
    def test_pages_make_the_whole(self, items: set[str], limit: int) -> None:
        """Following the pages shows each item once."""
        items = {item.encode("utf-8", "ignore").decode() for item in items} - {""}
        query, seen, pages = parse_query(b"limit=%d" % limit), list[str](), 0
        while True:
            page, following = page_of(list(items), query, str)
            seen += page
            pages += 1
            if following is None:
                break
            self.assertEqual(len(page), limit)
            query = parse_query(following.encode())
        self.assertEqual(seen, sorted(items))
        self.assertEqual(pages, max(1, -(-len(items) // limit)))


class LinkTests(SynchronousTestCase):
    """``Links``."""

    def test_steps_are_quoted(self) -> None:
        """A name cannot add a step to a path."""
        links = Links("http://h:1/identity")
        self.assertEqual(links.to("v3", "users", "a/b ?"), "http://h:1/identity/v3/users/a%2Fb%20%3F")

    def test_list_links(self) -> None:
        """Self repeats the query, next has the marker."""
        links = Links("http://h/identity").of_list(parse_query(b"limit=1&name=a+b"), "limit=1&marker=x", "v3", "users")
        self.assertEqual(links["self"], "http://h/identity/v3/users?limit=1&name=a+b")
        self.assertEqual(links["next"], "http://h/identity/v3/users?limit=1&marker=x")
        self.assertIsNone(links["previous"])
