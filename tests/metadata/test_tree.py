"""Paths: what is found by them, and what is not."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.metadata import NoSuchDocument, find, listing_of
from tests.metadata.guest import rich_facts, seeded

NOWHERE = (
    "/openstack/2012-08-11",
    "/openstack/2012-08-10/password",
    "/openstack/2012-08-10/network_data.json",
    "/openstack/latest/meta_data.json/more",
    "/openstack/latest/none",
    "/openstack/content",
    "/openstack/content/0000",
    "/ec2/9999-01-01",
    "/none",
    "/latest/meta-data/none",
    "/latest/meta-data/hostname/more",
    "/latest/meta-data/public-keys/1",
    "/latest/meta-data/public-keys/0/_name",
    "/latest/api/token",
    "/latest/dynamic/instance-identity/document",
    "/2021-03-23/meta-data/instance-id",
)


class TreeTests(SynchronousTestCase):
    def test_nothing_there(self) -> None:
        """What no version has, of any name, or is only on the config drive."""
        for path in NOWHERE:
            with self.assertRaises(NoSuchDocument, msg=path):
                find(path, rich_facts(), seeded)

    def test_slashes(self) -> None:
        """One at the end, several, and ways back and forth lead to the same, as in Nova."""
        wanted = find("/openstack/latest/user_data", rich_facts(), seeded)
        for path in (
            "/openstack/latest/user_data/",
            "//openstack//latest/user_data",
            "/openstack/x/../latest/user_data",
        ):
            self.assertEqual(find(path, rich_facts(), seeded), wanted)

    def test_same_for_all(self) -> None:
        """What is at the top is of no server."""
        self.assertIsNotNone(listing_of("/openstack/"))
        self.assertIsNone(listing_of("/openstack/latest"))
        self.assertIsNone(listing_of("/latest"))

    @given(st.text())
    def test_any_path(self, path: str) -> None:
        """Whatever is asked for, there is a document or there is none."""
        with contextlib.suppress(NoSuchDocument):
            self.assertIsInstance(find(path, rich_facts(), seeded).body, bytes)
