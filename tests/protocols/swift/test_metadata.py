"""Header fields to stored metadata and back."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.objects import InvalidAccessList, InvalidMetadata
from cloudd.protocols.swift import _metadata as metadata
from cloudd.protocols.swift._answers import Refusal


class ChangesTests(SynchronousTestCase):
    def refused(self, *headers: tuple[bytes, bytes], kind: str = "object") -> Refusal:
        refusal: Refusal = self.assertRaises(Refusal, metadata.read_changes, headers, kind)
        return refusal

    def invalid(self, *headers: tuple[bytes, bytes]) -> str:
        return str(self.assertRaises(InvalidMetadata, metadata.read_changes, headers, "object"))

    def test_set_and_remove(self) -> None:
        """Set, remove by name, remove by an empty value; other levels' fields are left alone."""
        changes = metadata.read_changes(
            [
                (b"x-container-meta-colour", "grün".encode()),
                (b"x-remove-container-meta-old", b"x"),
                (b"x-container-meta-empty", b""),
                (b"x-object-meta-other", b"1"),
                (b"content-type", b"text/plain"),
            ],
            "container",
        )
        self.assertEqual(changes, {"meta:colour": "grün", "meta:old": None, "meta:empty": None})

    def test_empty_object_value(self) -> None:
        """An object keeps an empty value."""
        self.assertEqual(metadata.read_changes([(b"x-object-meta-a", b"")], "object"), {"meta:a": ""})

    def test_limits(self) -> None:
        """Each limit is refused beyond it and met at it, with Swift's words."""
        many = [(b"x-object-meta-%d" % number, b"1") for number in range(91)]
        large = [(b"x-object-meta-%02d" % number, b"v" * 255) for number in range(16)]
        self.assertIn("empty", self.invalid((b"x-object-meta-", b"1")))
        self.assertIn("128", self.invalid((b"x-object-meta-" + b"n" * 129, b"1")))
        self.assertIn("256", self.invalid((b"x-object-meta-a", b"v" * 257)))
        self.assertIn("90", self.invalid(*many))
        self.assertIn("4096", self.invalid(*large))
        self.assertIn("Header value too long", self.refused((b"x-other", b"v" * 8193)).cause)
        metadata.read_changes([(b"x-object-meta-" + b"n" * 128, b"v" * 256), *many[:80]], "object")

    def test_not_text(self) -> None:
        """Names and values are UTF-8."""
        self.assertEqual(self.refused((b"x-object-meta-a", b"\xff")).status, 400)
        self.assertEqual(self.refused((b"x-object-meta-\xff", b"1")).status, 400)

    def test_switches(self) -> None:
        """Metadata that would switch on a feature which is not here gets 501, removing it does not."""
        refusal = self.refused((b"x-account-meta-temp-url-key", b"secret"), kind="account")
        self.assertEqual(refusal.status, 501)
        self.assertNotIn("secret", refusal.cause)
        self.assertEqual(self.refused((b"x-container-meta-quota-bytes", b"1"), kind="container").status, 501)
        metadata.read_changes([(b"x-remove-account-meta-temp-url-key", b"x")], "account")
        metadata.read_changes([(b"x-object-meta-quota-bytes", b"1")], "object")


class ObjectMetadataTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        """What a PUT sets is what a GET sends."""
        kept = metadata.read_object_metadata(
            [
                (b"x-object-meta-mtime", b"1.5"),
                (b"content-encoding", b"gzip"),
                (b"cache-control", b"no-store"),
                (b"host", b"x"),
                (b"x-object-sysmeta-x", b"1"),
            ]
        )
        self.assertEqual(
            kept, {"meta:mtime": "1.5", "header:content-encoding": "gzip", "header:cache-control": "no-store"}
        )
        self.assertEqual(
            set(metadata.object_headers({**kept, "checksum:crc32": "AAAA", "manifest": "c/p"})),
            {
                (b"X-Object-Meta-Mtime", b"1.5"),
                (b"Content-Encoding", b"gzip"),
                (b"Cache-Control", b"no-store"),
                (b"X-Object-Manifest", b"c/p"),
            },
        )

    def test_features(self) -> None:
        """Asked-for features that are not here are refused by name, never dropped."""
        for name, word in (
            (b"x-delete-after", "Expiry"),
            (b"x-symlink-target", "Symbolic"),
            (b"x-delete-at", "Expiry"),
        ):
            refusal = self.assertRaises(Refusal, metadata.read_object_metadata, [(name, b"1")])
            self.assertEqual(refusal.status, 501)
            self.assertIn(word, refusal.cause)
            self.assertEqual(metadata.read_object_metadata([(name, b" ")]), {})


class ContainerMetadataTests(SynchronousTestCase):
    def test_acls(self) -> None:
        """ACLs are kept in one tidy form; an empty one or the remove header takes it away."""
        headers = [(b"x-container-read", b" .referrer : * , .rlistings,, p:u "), (b"x-container-write", b"")]
        self.assertEqual(metadata.read_acls(headers), {"acl:read": ".r:*,.rlistings,p:u", "acl:write": None})
        self.assertEqual(metadata.read_acls([(b"x-remove-container-read", b"1")]), {"acl:read": None})

    def test_acls_refused(self) -> None:
        """Nobody writes by referrer."""
        self.assertRaises(InvalidAccessList, metadata.read_acls, [(b"x-container-write", b".r:*")])

    def test_acls_shown_to_owners(self) -> None:
        """Others do not see who may do what."""
        kept = {"meta:a": "1", "acl:read": ".r:*", "acl:write": ""}
        self.assertEqual(metadata.container_headers(kept, owner=False), [(b"X-Container-Meta-A", b"1")])
        self.assertIn((b"X-Container-Read", b".r:*"), metadata.container_headers(kept, owner=True))
        self.assertEqual(len(metadata.container_headers(kept, owner=True)), 2)
