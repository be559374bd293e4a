"""From where images may be downloaded."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.image import SourceRefused, Sources, read_sources
from cloudd.image._source import Place
from cloudd.interfaces.download_hosts import BadDownloadHost

PUBLIC = "93.184.216.34"


class SourceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sources = read_sources(
            [
                "images.example.org",
                "*.mirror.example",
                "inside.example:8080",
                "10.1.0.0/16:8080",
                "[fd00::1]:8443",
                "fd00::2",
            ]
        )

    def refused(self, url: str, sources: Sources | None = None) -> str:
        with self.assertRaises(SourceRefused) as caught:
            (self.sources if sources is None else sources).place(url)
        return str(caught.exception)

    def test_allowed(self) -> None:
        """By name, below a domain, with a port, and by address."""
        for url, place in (
            ("https://images.example.org/a?b=c", Place("https", "images.example.org", 443)),
            ("http://IMAGES.example.org./a", Place("http", "images.example.org", 80)),
            ("http://images.example.org:443/a", Place("http", "images.example.org", 443)),
            ("http://a.b.mirror.example/", Place("http", "a.b.mirror.example", 80)),
            ("http://inside.example:8080/", Place("http", "inside.example", 8080)),
            ("http://10.1.2.3:8080/", Place("http", "10.1.2.3", 8080)),
            ("https://[fd00::1]:8443/", Place("https", "fd00::1", 8443)),
            ("http://[fd00::2]/", Place("http", "fd00::2", 80)),
        ):
            self.assertEqual(self.sources.place(url), place)

    def test_refused(self) -> None:
        """Other hosts and ports, other schemes, and URLs that two readers may take for two things."""
        for url in (
            "http://other.example/", "http://mirror.example/", "http://xmirror.example/", "http://inside.example/",
            "http://images.example.org:22/", "http://10.1.2.3/", "http://10.2.0.1:8080/", "http://[::1]/",
            f"http://{PUBLIC}/", "http://images.example.org.evil.example/", "http://evil.example#images.example.org",
        ):  # fmt: skip
            self.assertIn("web_download_hosts", self.refused(url), url)
        for url, words in (
            ("file:///etc/passwd", "http or https"), ("ftp://images.example.org/", "http or https"),
            ("", "http or https"),
            ("http://u:p@images.example.org/", "user or password"), ("http://images.example.org\\@x/", "printable"),
            ("http://images.example.org /", "printable"), ("http://images.example.org/\r\nX: y", "printable"),
            ("http://images.example.org:99999/", "no URL"), ("http://[::1/", "no URL"), ("http:///x", "no name"),
            ("http://2130706433/", "no name"), ("http://0x7f.1/", "no name"), ("http://127.1/", "no name"),
            ("http://images.example.org/" + "x" * 2_048, "2048"),
        ):  # fmt: skip
            self.assertIn(words, self.refused(url), url)

    def test_nothing_allowed(self) -> None:
        """The reason is said, whatever the URL."""
        self.assertFalse(read_sources([]))
        self.assertIn("is off", self.refused("file:///x", read_sources([])))

    def test_addresses(self) -> None:
        """What a name means must be public, or allowed as an address on that port; one that is neither refuses all."""
        place = Place("http", "inside.example", 8080)
        good = [PUBLIC, "2606:2800:220:1::1", "10.1.9.9"]
        self.assertEqual(self.sources.checked(place, [*good, PUBLIC]), good)
        for bad in (
            "127.0.0.1", "169.254.169.254", "10.2.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "0.0.0.0",
            "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1",
            "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1", "2002:7f00:1::", "2001:0:1::1", "fd00::1", "not an address",
        ):  # fmt: skip
            with self.assertRaises(SourceRefused, msg=bad) as caught:
                self.sources.checked(place, [PUBLIC, bad])
            self.assertIn("inside.example", caught.exception.cause)
            self.assertNotIn(bad, caught.exception.cause)  # what a name means inside is for operators
        with self.assertRaises(SourceRefused):
            self.sources.checked(Place("http", "images.example.org", 80), ["10.1.9.9"])

    def test_entries_that_are_none(self) -> None:
        for text in ("", "http://x", "a b", "x:0", "x:99999", "x:y", "*", "*.", "10.0.0.1/8", "[x]:1", "a..b", ".x"):
            with self.assertRaisesRegex(BadDownloadHost, "no host or address", msg=text):
                read_sources([text])
