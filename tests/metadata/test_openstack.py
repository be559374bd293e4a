"""``/openstack``: what each version has, as Nova has it."""

from __future__ import annotations

import base64
import json
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from cloudd.metadata import GuestFacts, _openstack, find
from tests.metadata.guest import KEY, SEED, SERVER, rich_facts, seeded

POOR = GuestFacts(server=SERVER, zone="nova")


def read(path: str, facts: GuestFacts) -> Any:
    return json.loads(find(path, facts, seeded).body)


class OpenstackTests(SynchronousTestCase):
    def test_versions(self) -> None:
        """One a line, the newest behind the others, and then ``latest``."""
        lines = find("/openstack", POOR, seeded).body.decode().split("\n")
        self.assertEqual((lines[0], lines[-2:]), ("2012-08-10", ["2020-10-14", "latest"]))
        self.assertEqual(lines[:-1], sorted(lines[:-1]))

    def test_listed(self) -> None:
        """A version lists what it has, and has no more than that: documents came one after another."""
        facts = rich_facts()
        for version, names in (
            ("2012-08-10", ["meta_data.json", "user_data"]),
            ("2013-04-04", ["meta_data.json", "user_data", "password"]),
            ("2013-10-17", ["meta_data.json", "user_data", "password", "vendor_data.json"]),
            ("2015-10-15", ["meta_data.json", "user_data", "password", "vendor_data.json", "network_data.json"]),
            ("latest", list(_openstack.DOCUMENTS)),
        ):
            found = find(f"/openstack/{version}/", facts, seeded)
            self.assertEqual(found.body.decode().split("\n"), names)
            self.assertEqual(_openstack.documents_of(facts, _openstack.version_of(version) or ""), names)

    def test_whole(self) -> None:
        """The newest ``meta_data.json`` of a server that has everything; files are on the drive alone."""
        found = find("/openstack/latest/meta_data.json", rich_facts(), seeded)
        self.assertEqual(found.content_type, "application/json")
        self.assertEqual(
            json.loads(found.body),
            {
                "uuid": SERVER.id,
                "meta": {"role": "web"},
                "public_keys": {"mine": KEY},
                "keys": [{"name": "mine", "type": "ssh", "data": KEY}],
                "hostname": "web",
                "name": "web ü",
                "launch_index": 0,
                "availability_zone": "z1",
                "random_seed": base64.b64encode(SEED).decode(),
                "project_id": "p1",
                "devices": [
                    {
                        "vf_trusted": False,
                        "type": "nic",
                        "mac": "fa:16:3e:00:00:01",
                        "bus": "none",
                        "address": "none",
                        "tags": ["front"],
                    }
                ],
                "dedicated_cpus": [],
            },
        )

    def test_least(self) -> None:
        """The oldest one of a server that has nothing: what is not there is left out, not null."""
        found = read("/openstack/2012-08-10/meta_data.json", POOR)
        self.assertEqual(set(found), {"uuid", "hostname", "name", "launch_index", "availability_zone"})

    def test_members_by_version(self) -> None:
        """Each member comes with its version."""
        facts = rich_facts()
        before: set[str] = set()
        for version, members in (
            ("2013-04-04", {"random_seed"}),
            ("2015-10-15", {"project_id"}),
            ("2016-06-30", {"devices"}),
            ("2020-10-14", {"dedicated_cpus"}),
        ):
            found = set(read(f"/openstack/{version}/meta_data.json", facts))
            self.assertEqual(found - before - set(read("/openstack/2012-08-10/meta_data.json", facts)), members)
            before |= members

    def test_trust_by_version(self) -> None:
        """Of tagged devices old versions say less."""
        [device] = read("/openstack/2017-02-22/meta_data.json", rich_facts())["devices"]
        self.assertNotIn("vf_trusted", device)

    def test_x509(self) -> None:
        """A key's kind is told; without one there are no members of keys."""
        facts = rich_facts()
        facts = evolve(facts, server=evolve(facts.server, key_type="x509"))
        self.assertEqual(read("/openstack/latest/meta_data.json", facts)["keys"][0]["type"], "x509")
        self.assertNotIn("keys", read("/openstack/latest/meta_data.json", POOR))

    def test_user_data(self) -> None:
        """As it was before it was put into base64, whatever bytes they are."""
        self.assertEqual(find("/openstack/latest/user_data", rich_facts(), seeded).body, b"#!/bin/sh\necho \xff\n")

    def test_user_data_that_is_none(self) -> None:
        """Text that is not base64 is given as it stands."""
        facts = GuestFacts(server=evolve(SERVER, user_data="a"))
        self.assertEqual(find("/openstack/latest/user_data", facts, seeded).body, b"a")

    def test_vendor_data(self) -> None:
        """There is none, in the form in which Nova says so."""
        self.assertEqual(read("/openstack/latest/vendor_data.json", POOR), {})
        self.assertEqual(read("/openstack/latest/vendor_data2.json", POOR), {"static": {}})

    def test_password(self) -> None:
        """Nothing that a guest has set."""
        self.assertEqual(find("/openstack/latest/password", POOR, seeded).body, b"")
