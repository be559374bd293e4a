"""Names and metadata: what is taken, what is refused, and why."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.objects import (
    InvalidMetadata,
    InvalidName,
    account_of,
    check_account_name,
    check_container_name,
    check_metadata,
    check_object_name,
    decode_name,
    project_of,
)


class NameTests(SynchronousTestCase):
    """``_names``."""

    def test_accounts(self) -> None:
        """A project's account, and back."""
        self.assertEqual(account_of("abc"), "AUTH_abc")
        self.assertEqual((project_of("AUTH_abc"), project_of("abc"), project_of("XAUTH_a")), ("abc", "", ""))
        self.assertEqual(check_account_name("AUTH_abc"), "AUTH_abc")

    def test_decoded_once(self) -> None:
        """Percent-encoding is undone once, and dots mean nothing."""
        self.assertEqual(decode_name(b"a%20b+c%2Fd", "object"), "a b+c/d")
        self.assertEqual(decode_name(b"%252e%252e", "object"), "%2e%2e")
        self.assertEqual(decode_name(b"%2e%2e/%c3%bc", "object"), "../ü")
        self.assertEqual(decode_name(b"100%", "object"), "100%")

    def test_not_text(self) -> None:
        """What is no UTF-8, or has a NUL, is refused by the kind of name."""
        for raw in (b"%ff", b"\xc3", b"%ed%a0%80", b"a%00b", b"%c0%af"):
            error = self.assertRaises(InvalidName, decode_name, raw, "container")
            self.assertEqual(error.kind, "container")
            self.assertIn("container name", error.cause)

    def test_limits(self) -> None:
        """Limits count bytes, not characters."""
        self.assertEqual(check_container_name("ü" * 128), "ü" * 128)
        self.assertEqual(check_object_name("a/" * 512), "a/" * 512)
        for check, name in (
            (check_container_name, "ü" * 128 + "a"),
            (check_container_name, "a/b"),
            (check_container_name, ""),
            (check_account_name, "a" * 257),
            (check_object_name, "a" * 1_025),
            (check_object_name, ""),
            (check_object_name, "a\0"),
            (check_object_name, "\ud800"),
        ):
            self.assertRaises(InvalidName, check, name)


class MetadataTests(SynchronousTestCase):
    """``check_metadata``."""

    def test_at_the_limits(self) -> None:
        """Exactly the limits are allowed; keys of ours do not count; None removes."""
        check_metadata({"meta:" + "n" * 128: "v" * 256})
        check_metadata({f"meta:{number}": "" for number in range(90)})
        check_metadata({f"meta:{number:02}": "v" * 203 for number in range(19)})
        check_metadata({"header:expires": "v" * 10_000, "meta:gone": None})

    def test_beyond_the_limits(self) -> None:
        """One more is refused, with the limit in words."""
        for metadata, limit in (
            ({"meta:" + "n" * 129: "v"}, "128"),
            ({"meta:a": "ü" * 129}, "256"),
            ({f"meta:{number}": "" for number in range(91)}, "90"),
            ({f"meta:{number:02}": "v" * 214 for number in range(19)} | {"meta:x": "v" * 20}, "4096"),
            ({"meta:": "v"}, "empty"),
            ({"meta:a": "\udcff"}, "UTF-8"),
        ):
            error = self.assertRaises(InvalidMetadata, check_metadata, metadata)
            self.assertIn(limit, error.cause)
