"""The control state in a file: from either database to either, nothing lost, nothing taken for what it is not."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from attrs import evolve
from sqlalchemy import insert, select
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from cloudd.compute import (
    Flavor,
    Interface,
    Keypair,
    Server,
    ServerGroup,
    Share,
    WantedNetwork,
    add_interface,
    add_server,
    add_specs,
    allow,
    create_flavor,
    create_group,
    create_keypair,
    reserve,
    set_quota,
)
from cloudd.compute.servers._groups import join_group
from cloudd.database import BackupError, backup, migrate, open_control_database, read_backup, restore, tables
from cloudd.database._control import control_url, make_engine
from cloudd.database.tables import metadata, node_authority, task
from cloudd.image import Definition, DefinitionKind, Image, Namespace, _member_rows, create_filled
from cloudd.image import _rows as _image_rows
from cloudd.network import Network, Port, Subnet, create_network, create_port, create_subnet
from cloudd.network import set_quota as set_network_quota
from cloudd.nodes import Release, _leases, _releases, _rows, _tokens
from tests.database.choice import KINDS, new_database
from tests.identity.house import House
from tests.protocols.swift.face import an_access


def all_rows(place: Path | str) -> dict[str, list[Any]]:
    """By table, in an order that both databases share."""
    engine = make_engine(control_url(place))
    with engine.connect() as connection:
        found = {table.name: connection.execute(select(table)).all() for table in metadata.sorted_tables}
    engine.dispose()
    return {name: sorted(map(repr, map(tuple, rows))) for name, rows in found.items()}


def next_ids(place: Path | str) -> list[int]:
    """Of the next revocation and the next event."""
    engine = make_engine(control_url(place))
    revoke = "INSERT INTO identity_revocation (subject, issued_before_us, created_us) VALUES ('x', 0, 0) RETURNING id"
    note = "INSERT INTO events (created_us, type, data) VALUES (0, 'x', '{}') RETURNING id"
    with engine.begin() as connection:
        ids = [connection.exec_driver_sql(statement).scalar_one() for statement in (revoke, note)]
    engine.dispose()
    return ids


def note_task(place: Path | str) -> None:
    """One that waits."""
    values = {"id": "t1", "kind": "x", "version": 1, "payload": '{"name": "ö"}', "state": "queued", "due_us": 1 << 60}
    engine = make_engine(control_url(place))
    with engine.begin() as connection:
        connection.execute(insert(task).values(**values, created_us=1, updated_us=2))
    engine.dispose()


def note_node(place: Path | str) -> None:
    """One node, its duty, the authority and what let it in."""
    engine = make_engine(control_url(place))
    with engine.begin() as connection:
        _rows.enter(connection, "a" * 32, "one", ("tasks",), "ready", "somebody")
        _leases.take(connection, "sweep", "one", "a" * 32, 1_000_000)
        _tokens.make(connection, ("tasks",), 60, "somebody")
        values = {"id": 1, "certificate": "a certificate", "sealed_key": "a key", "created_us": 1}
        connection.execute(insert(node_authority).values(**values))
        before = {"a" * 32: "b" * 64}
        release = Release(
            id="r1", new_hash="c" * 64, tree="", payloads={"x": [1]}, before=before, state="", state_s=0, state_by="me"
        )
        _releases.begin(connection, release)
    engine.dispose()


def note_image(place: Path | str) -> None:
    """One with a property and a tag, shared."""
    engine = make_engine(control_url(place))
    with engine.begin() as connection:
        image = Image(id="i" * 36, project_id="p", name="ö", properties={"os": "debian"}, tags=("t",))
        _image_rows.create(connection, image)
        _member_rows.add_member(connection, image.id, "q")
    engine.dispose()


def note_metadefs(place: Path | str) -> None:
    """A namespace with a tag."""
    engine = make_engine(control_url(place))
    with engine.begin() as connection:
        wanted = Namespace(name="ö", project_id="p", display_name="Ö")
        create_filled(
            connection, an_access("root", "p0", "admin"), wanted, {DefinitionKind.TAG: [Definition(name="☁")]}
        )
    engine.dispose()


def note_network(place: Path | str) -> None:
    """One with a subnet and a port on it, and a quota."""
    access = an_access("somebody", "p", "member")
    engine = make_engine(control_url(place))
    with engine.begin() as connection:
        network = create_network(connection, access, Network(id="", project_id="p", name="ö", tags=("t",)))
        cidr = Subnet(id="", project_id="p", network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
        create_subnet(connection, access, cidr, frozenset())
        port = Port(id="", project_id="p", network_id=network.id, mac_address="")
        create_port(connection, access, port, None, frozenset())
        set_network_quota(connection, an_access("root", "p0", "admin"), "p", {"port": 7})
    engine.dispose()


def note_compute(place: Path | str) -> None:
    """A key pair, a private flavor that a project may use, a server group with a server, and its quota."""
    access, admin = an_access("somebody", "p", "member"), an_access("root", "p0", "admin")
    key = Keypair(user_id=access.user_id, name="k", number=1, type="ssh", fingerprint="00:11", public_key="ö")
    flavor = Flavor(id="", flavor_id="9", name="ö", ram_mib=64, vcpus=1, disk_gib=1, is_public=False, rxtx_factor=1.5)
    engine = make_engine(control_url(place))
    with engine.begin() as connection:
        create_keypair(connection, access, key)
        create_flavor(connection, admin, flavor)
        allow(connection, admin, "9", "p")
        add_specs(connection, admin, "9", {"a": "b"})
        group = ServerGroup(id="", project_id="", user_id="", name="g", policy="affinity")
        join_group(connection, access, create_group(connection, access, group).id, ["s"])
        reserve(connection, "p", access.user_id, [Share("s", 1, 64)])
        set_quota(connection, admin, "p", "", {"ram": -1}, force=False)
    engine.dispose()


def note_server(place: Path | str) -> None:
    """One that is built on a host, with a tag, an interface and its history; the host in an aggregate."""
    server = Server(
        id="s", project_id="p", user_id="u", name="ö", host_name="o", flavor="", tags=("t",), items={"a": "ö"},
        networks=(WantedNetwork(network_id="n"),),
    )  # fmt: skip
    engine = make_engine(control_url(place))
    with engine.begin() as connection:
        flavor = connection.execute(select(tables.flavor.c.id)).scalar_one()
        add_server(connection, evolve(server, flavor=flavor))
        add_interface(connection, "s", Interface(port_id="q", position=0))
        values: dict[str, Any] = {"id": "a", "server_id": "s", "action": "create", "request_id": "req-1"}
        values |= {"project_id": "p", "user_id": "u", "started_us": 1, "updated_us": 2}
        connection.execute(insert(tables.server_action).values(values))
        connection.execute(insert(tables.server_event).values(id="e", action_id="a", name="build", started_us=1))
        values = {"node_id": "a" * 32, "name": "one", "driver": "simulated", "kind": "fake", "hypervisor_version": 1}
        values |= {"vcpus": 2, "memory_mib": 64, "disk_gib": 1, "architecture": "x86_64", "cpu_model": "ö"}
        values |= {"vcpu_ratio": 1.5, "memory_ratio": 1.0, "disk_ratio": 1.0, "real": False, "is_enabled": True}
        connection.execute(insert(tables.compute_host).values(**values, created_us=1, updated_us=2))
        claim = {"server_id": "s", "node_id": "a" * 32, "purpose": "server", "vcpus": 1, "memory_mib": 64}
        connection.execute(insert(tables.server_claim).values(**claim, disk_gib=1, created_us=1))
        connection.execute(insert(tables.aggregate).values(id="g", number=7, name="ö", created_us=1))
        connection.execute(insert(tables.aggregate_host).values(aggregate_id="g", node_id="a" * 32))
    engine.dispose()


class BackupTests(TestCase):
    async def saved(self) -> Path:
        """A backup of a cloud with some of everything; ``self.token`` was given by it."""
        self.house = await House.built(self)
        identity = self.house.worker()
        admin = await self.house.admin(identity)
        parent = await identity.projects.create(admin, {"name": "a parent", "domain_id": "default"})
        values = {"name": 'say "ö\u2028x"', "domain_id": "default", "parent_id": parent.id}
        child = await identity.projects.create(admin, values)
        await self.house.member(identity, "somebody", project=child.id)
        demo = await self.house.demo(identity)
        await identity.application_credentials.create(demo.access, demo.access.user_id, {"name": "mine"})
        await identity.projects.update(admin, child.id, {"enabled": False})
        self.token = demo.token
        note_task(self.house.place)
        note_node(self.house.place)
        note_image(self.house.place)
        note_metadefs(self.house.place)
        note_network(self.house.place)
        note_compute(self.house.place)
        note_server(self.house.place)
        file = Path(self.mktemp())
        self.count = backup(self.house.place, self.house.folder / "secrets", file)
        return file

    async def test_to_either(self) -> None:
        """Every row, its id, the tokens and the order of later ids are the same on the other database."""
        file = await self.saved()
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        content = read_backup(file)
        self.assertEqual(content.row_count, self.count)
        before = all_rows(self.house.place)
        self.assertTrue(all(before[name] for name in before if name not in ("identity_implied_role",)), before)
        for kind in KINDS:
            place, secrets = new_database(self, kind), Path(self.mktemp()) / "secrets"
            restore(content, place, secrets, replace=False)
            self.assertEqual(all_rows(place), before)
            # Taken again from there, it says the same.
            again = Path(self.mktemp())
            backup(place, secrets, again)
            self.assertEqual(read_backup(again).digests, content.digests)
            self.assertEqual(read_backup(again).keys, content.keys)
            self.house.settings, self.house.folder = self.house.settings, secrets.parent
            database = open_control_database(place, reactor=reactor, threads=1)
            self.addCleanup(database.close)
            moved = self.house.worker(database=database)
            self.assertEqual(
                (await moved.authenticate_token(self.token)).project_id, self.house.login["demo_project_id"]
            )
            wanted = [content.counters[name] + 1 for name in ("identity_revocation", "events")]
            self.assertEqual(next_ids(place), wanted)

    async def test_refuses_to_overwrite(self) -> None:
        """What is there stays, unless it is said that it may go; then ids go on where they were."""
        file = await self.saved()
        content = read_backup(file)
        self.assertRaises(BackupError, backup, self.house.place, self.house.folder / "secrets", file)
        for kind in KINDS:
            place, secrets = new_database(self, kind), Path(self.mktemp())
            restore(content, place, secrets, replace=False)
            for _ in range(3):
                late = next_ids(place)
            before = all_rows(place)
            error = self.assertRaises(BackupError, restore, content, place, secrets, replace=False)
            self.assertIn("--yes", str(error))
            self.assertEqual(all_rows(place), before)
            restore(content, place, secrets, replace=True)
            self.assertNotEqual(all_rows(place), before)
            self.assertEqual(next_ids(place), [number + 1 for number in late])

    async def test_damaged(self) -> None:
        """A file that was changed or cut off, or is none, is refused as a whole."""
        file = await self.saved()
        lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
        changed = [line.replace(b"a parent", b"b parent") for line in lines]
        self.assertNotEqual(changed, lines)
        bad = Path(self.mktemp())
        for text in (changed, lines[:-1], lines[:5] + lines[6:], [*lines, lines[3]], [b"{}\n"], [b"no JSON\n"], []):
            bad.write_bytes(gzip.compress(b"".join(text)))
            self.assertRaises(BackupError, read_backup, bad)
        for raw in (file.read_bytes()[:-20], b"something else", b""):
            bad.write_bytes(raw)
            self.assertRaises(BackupError, read_backup, bad)

    async def test_failure_changes_nothing(self) -> None:
        """Rows that do not become what the file says are not kept; nor are keys."""
        content = read_backup(await self.saved())
        content.digests["identity_role"][0] += 1
        for kind in KINDS:
            place, secrets = new_database(self, kind), Path(self.mktemp())
            before = all_rows(place)
            self.assertRaises(BackupError, restore, content, place, secrets, replace=False)
            self.assertEqual(all_rows(place), before)
            self.assertFalse(secrets.exists())

    async def test_key_outside(self) -> None:
        """A file from elsewhere writes nothing but below the folder of keys."""
        content = read_backup(await self.saved())
        content.keys["../evil"] = b"x"
        secrets = Path(self.mktemp()) / "secrets"
        self.assertRaises(BackupError, restore, content, new_database(self), secrets, replace=False)
        self.assertFalse((secrets.parent / "evil").exists())

    def test_other_revision(self) -> None:
        """Tables of another release are not backed up by guessing."""
        path = Path(self.mktemp())
        migrate(path)
        engine = make_engine(control_url(path))
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
        engine.dispose()
        file = Path(self.mktemp())
        self.assertIn("0001", str(self.assertRaises(BackupError, backup, path, path.parent, file)))
        self.assertFalse(file.exists())
