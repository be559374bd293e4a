"""Nodes as a part of a generation: presence, draining, what operators may ask, health."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from cloudd.database import DatabaseAway, now_us, tables
from cloudd.interfaces.application import SelfCheckFailed
from cloudd.interfaces.settings import DatabaseSettings, MessagingSettings
from cloudd.joining import JoinToken, NodeFolder
from cloudd.nodes import Holder, NodeError, Nodes, _rows, _service, _tokens
from cloudd.nodes._address import place_of
from cloudd.nodes._admission import Admission, _files
from cloudd.nodes._presence import health_url

from .house import House, Machine, with_role

LISTEN = "tcp:5010:interface=127.0.0.1"


class ServiceCase(TestCase):
    def setUp(self) -> None:
        self.house = House.built(self)

    async def leading(self, name: str, **nodes: Any) -> Machine:
        machine = self.house.machine(name, **nodes)
        machine.nodes.lead()
        await self.house.until(lambda: machine.nodes._presence.node)
        return machine

    async def ask(self, machine: Machine, call: str, **arguments: Any) -> dict[str, Any]:
        return await machine.nodes.calls()[call](**arguments)

    async def refused(self, machine: Machine, call: str, **arguments: Any) -> str:
        failed = await self.assertFailure(Deferred.fromCoroutine(self.ask(machine, call, **arguments)), NodeError)
        return str(failed)

    async def state(self, name: str) -> str:
        found: str = (await self.house.database.read(_rows.find, name)).state
        return found

    async def until_state(self, name: str, state: str) -> None:
        from twisted.internet import reactor
        from twisted.internet.task import deferLater

        for _ in range(400):
            if await self.state(name) == state:
                return
            await deferLater(reactor, 0.05)
        raise AssertionError(f"{name} is {await self.state(name)}, not {state}")


class PresenceTests(ServiceCase):
    async def test_first_start(self) -> None:
        """A machine enters itself, once, with what it runs, and is to work; its id outlives the process."""
        machine = await self.leading("one")
        [node] = (await self.ask(machine, "nodes.list"))["nodes"]
        facts = {name: node[name] for name in ("name", "state", "version", "hash", "generation", "payloads", "own")}
        self.assertEqual(
            facts,
            {"name": "one", "state": "ready", "version": "0.1.0", "hash": "c" * 64, "generation": 3,
             "payloads": {"test.work": [1, 2]}, "own": True},
        )  # fmt: skip
        self.assertEqual((node["roles"], node["silent"]), (["api", "authority", "tasks"], False))
        self.assertEqual(node["load"]["tasks"], 0)
        self.assertGreater(node["load"]["up_s"], 0)  # this machine's
        self.assertFalse(machine.work.held)
        again = self.house.machine("one", resources=machine.resources)
        again.nodes.lead()
        await self.house.until(lambda: again.nodes._presence.node)
        self.assertEqual(len((await self.ask(again, "nodes.list"))["nodes"]), 1)

    async def test_one_name_for_two(self) -> None:
        """A machine that has a name that is another's gets one of its own."""
        await self.leading("one")
        resources = self.house.resources("other")
        settings = evolve(resources.settings, nodes=evolve(resources.settings.nodes, name="one"))
        second = self.house.machine("other", resources=evolve(resources, settings=settings))
        second.nodes.lead()
        await self.house.until(lambda: second.nodes._presence.node)
        names = {node["name"] for node in (await self.ask(second, "nodes.list"))["nodes"]}
        node_id = NodeFolder(resources.settings.state).node_id()
        self.assertEqual(names, {"one", f"one-{node_id[:6]}"})

    async def test_held_until_known(self) -> None:
        """Nothing of the node's own work begins before the registry has said that it works here."""
        machine = self.house.machine("one")
        machine.nodes.lead()
        self.assertTrue(machine.work.held)
        await self.house.until(lambda: not machine.work.held)

    async def test_other_workers(self) -> None:
        """Those without the agent's role say nothing, hold no duty and have no part in health."""
        resources = with_role(self.house.resources("one"), "front")
        machine = self.house.machine("one", resources=resources)
        machine.nodes.lead()
        self.assertEqual((machine.nodes.health(), machine.nodes._timers), ([], []))
        self.assertFalse(machine.work.held)
        self.assertEqual(await self.house.database.read(_rows.nodes), [])

    async def test_without_the_role(self) -> None:
        """A node without the role "tasks" begins nothing but what nobody else can do."""
        machine = await self.leading("one")
        node_id = await machine.nodes.own_id()
        self.assertEqual(machine.work.taken, (node_id, True))
        await self.house.set(tables.node, roles='["api"]')
        await self.ask(machine, "nodes.list")
        self.assertEqual(machine.work.taken, (node_id, False))
        self.assertFalse(machine.nodes._duties[0].willing)

    async def test_database_away(self) -> None:
        """Health says so, and the beat goes on afterwards."""
        machine = await self.leading("one")
        write = self.house.database.write

        def away(*_args: Any, **_kwargs: Any) -> Any:
            raise DatabaseAway("nobody answers")

        self.house.database.write = away  # type: ignore[method-assign]
        await machine.nodes._beat()
        [part] = machine.nodes.health()
        self.assertEqual((part.ok, "nobody answers" in part.cause), (False, True))
        self.house.database.write = write  # type: ignore[method-assign]
        await machine.nodes._beat()
        self.assertTrue(machine.nodes.health()[0].ok)

    async def test_self_check(self) -> None:
        """Tables that cannot be read fail it."""
        machine = self.house.machine("one")
        await machine.nodes.self_check()
        await self.house.database.write(lambda c: c.exec_driver_sql("DROP TABLE duties"))
        await self.assertFailure(Deferred.fromCoroutine(machine.nodes.self_check()), SelfCheckFailed)
        machine.nodes._duties.clear()


class DrainTests(ServiceCase):
    async def test_drain_and_return(self) -> None:
        """Nothing begins any more; it is drained when nothing runs and no duty is held; then it works again."""
        machine = await self.leading("one")
        await self.house.until(lambda: machine.nodes._duties[0].is_held)
        machine.work.running = 1
        node = await self.ask(machine, "nodes.drain", node="one", who="me")
        self.assertEqual((node["state"], node["state_by"]), ("draining", "me"))
        self.assertEqual(machine.work.taken, ("", False))
        await self.house.until(lambda: not machine.nodes._duties[0].is_held)
        await machine.nodes._beat()
        self.assertEqual(await self.state("one"), "draining")
        machine.work.running = 0
        await self.until_state("one", "drained")
        await machine.nodes._beat()
        [part] = machine.nodes.health()
        self.assertEqual((part.ok, "this node is drained" in part.cause), (True, True))
        await self.ask(machine, "nodes.return", node="one", who="me")
        self.assertEqual((await self.state("one"), machine.work.held), ("ready", False))
        await self.house.until(lambda: machine.nodes._duties[0].is_held)

    async def test_by_another(self) -> None:
        """Any node's agent carries out what an operator wants of another one."""
        one, two = await self.leading("one"), await self.leading("two")
        await self.ask(one, "nodes.drain", node="two", who="me")
        await self.until_state("two", "drained")
        self.assertTrue(two.work.held)
        node = await self.ask(one, "nodes.remove", node="two", who="me")
        self.assertEqual(node["state"], "removed")
        await two.nodes._beat()
        [part] = two.nodes.health()
        self.assertEqual((part.ok, "was removed from the cloud (me)" in part.cause), (False, True))
        self.assertTrue(two.work.held)

    async def test_silent(self) -> None:
        """That another node is silent is told with its age; this one is well all the same."""
        one, two = await self.leading("one"), await self.leading("two")
        two.nodes.retire()
        node_id = two.nodes._presence.node.id  # type: ignore[union-attr]

        def age(connection: Any) -> None:
            table = tables.node
            connection.execute(table.update().where(table.c.id == node_id).values(contact_us=now_us() - 45_000_000))

        await self.house.database.write(age)
        await one.nodes._beat()
        [part] = one.nodes.health()
        self.assertEqual((part.ok, "two (ready) for 45 s not" in part.cause), (True, True))
        shown = await self.ask(one, "nodes.show", node="two")
        self.assertEqual((shown["state"], shown["silent"]), ("ready", True))


class TrialTests(ServiceCase):
    async def test_on_trial(self) -> None:
        """Code in a canary learns whether this node works, and says and takes nothing; it leads when it was chosen."""
        first = await self.leading("one")
        await self.house.until(lambda: first.nodes._duties[0].is_held)
        tried = self.house.machine("one", resources=evolve(first.resources, generation=4))
        for _ in range(2):
            tried.nodes.lead(on_trial=True)
        self.assertEqual((tried.work.held, len(tried.nodes._timers)), (True, 1))
        await self.house.until(lambda: not tried.work.held)
        await self.ask(first, "nodes.drain", node="one", who="me")
        await self.house.until(lambda: tried.work.held)
        await self.ask(first, "nodes.return", node="one", who="me")
        await self.house.until(lambda: not tried.work.held)
        self.assertEqual((await self.house.database.read(_rows.find, "one")).generation, 3)
        self.assertIsNone(tried.nodes._duties[0]._timer)
        first.nodes.retire()
        for trial in (False, True, False):
            tried.nodes.lead(trial)
        self.assertEqual(len(tried.nodes._timers), 2)
        await self.house.until(lambda: tried.nodes._duties[0].is_held)
        self.assertEqual((await self.house.database.read(_rows.find, "one")).generation, 4)

    async def test_before_any_beat(self) -> None:
        """A node that nobody has entered yet works on trial."""
        tried = self.house.machine("one")
        tried.nodes.lead(on_trial=True)
        await self.house.until(lambda: not tried.work.held)
        self.assertEqual(await self.house.database.read(_rows.nodes), [])


class DutyTests(ServiceCase):
    async def test_pins_and_duties(self) -> None:
        """A duty of another part is done by one of two nodes; what is written is what both read."""
        done: list[str] = []

        def sweeping(machine: Machine) -> None:
            async def sweep(_holder: Holder) -> None:
                done.append(machine.resources.settings.nodes.name)

            machine.nodes.duty("test.sweep", sweep, 60.0)

        machines = [self.house.machine("one"), self.house.machine("two")]
        for machine in machines:
            sweeping(machine)
            machine.nodes.lead()
        await self.house.until(lambda: done)
        told = (await self.ask(machines[0], "nodes.list"))["duties"]
        self.assertEqual([duty["name"] for duty in told if duty["node"] == done[0]][-1:], ["test.sweep"])
        self.assertEqual(len(done), 1)
        self.assertEqual((await machines[1].nodes.read_pins()).emits("test.work", 3, (1, 2, 3)), 2)
        await machines[0].nodes._beat()
        self.assertEqual(machines[0].nodes.pins.emits("test.work", 3, (1, 2, 3)), 2)

    async def test_upkeep(self) -> None:
        """Old tokens go."""
        await self.house.database.write(_tokens.make, ("tasks",), 60, "me")
        await self.house.set(tables.node_token, expires_us=now_us() - 1_000_000 * 1_000_000)
        machine = await self.leading("one")
        await self.house.until(lambda: machine.nodes._duties[0]._begin_at > 0)
        await self.house.until(lambda: machine.nodes._duties[0]._running is None)
        [counted] = await self.house.database.read(
            lambda c: c.exec_driver_sql("SELECT count(*) FROM node_tokens").scalars().all()
        )
        self.assertEqual(counted, 0)


class TokenTests(ServiceCase):
    async def test_token(self) -> None:
        """It says where to ask, and is good for the roles that were asked for."""
        machine = await self.leading("one", listen=LISTEN)
        made = await self.ask(machine, "nodes.token", who="me", roles=["compute", "tasks"], valid_s=60.0)
        token = JoinToken.read(made["token"])
        self.assertEqual((token.address, made["address"]), ("127.0.0.1:5010", "127.0.0.1:5010"))
        found = await self.house.database.read(_tokens.check, token.token_id, token.secret)
        self.assertEqual(found, ("compute", "tasks"))
        await self.house.until(lambda: machine.nodes.credentials)

    async def test_refused(self) -> None:
        """Without a listener, an address, a database that others reach; odd roles and times."""
        for nodes, words in (
            ({}, "[nodes] listen"),
            ({"listen": "tcp:5010"}, "[nodes] address"),
            ({"listen": "ssl:5010"}, "nodes.listen is"),
            ({"listen": LISTEN, "alone": True}, "is a file of this machine"),
            ({"listen": LISTEN, "address": "192.0.2.1:5010"}, "as others cannot reach it"),
        ):
            machine = self.house.machine("one", **nodes)
            self.assertIn(words, await self.refused(machine, "nodes.token", who="me"))
        machine = self.house.machine("one", listen=LISTEN)
        self.assertIn("a role is", await self.refused(machine, "nodes.token", who="me", roles=["Odd One"]))
        for valid_s in (0, 1e9, float("nan")):
            self.assertIn("is valid for", await self.refused(machine, "nodes.token", who="me", valid_s=valid_s))

    async def test_local_broker(self) -> None:
        """One that others cannot reach under its name lets nobody join from elsewhere; with one more of them it may."""
        resources = self.house.resources("one", listen=LISTEN, address="192.0.2.1:5010")
        for url, words in (
            ("amqp://cloudd@127.0.0.1:5672", "[messaging] url names this machine"),
            ("amqp://cloudd@127.0.0.1 amqp://cloudd@mq.example", ""),
        ):
            settings = evolve(
                resources.settings,
                messaging=MessagingSettings(url=url),
                database=DatabaseSettings(url="postgresql://cloudd@db.example/cloudd"),
            )
            machine = self.house.machine("one", resources=evolve(resources, settings=settings))
            if words:
                self.assertIn(words, await self.refused(machine, "nodes.token", who="me"))
            else:
                self.assertTrue((await self.ask(machine, "nodes.token", who="me"))["token"])

    def test_files(self) -> None:
        """What a node that joins gets of files here; one that cannot be read is named."""
        file = Path(self.mktemp()).absolute()
        file.write_text("say friend")
        settings = self.house.resources("one").settings
        given = evolve(
            settings, messaging=MessagingSettings(url="amqps://mq", password_file=str(file), ca_file=str(file))
        )
        wanted = {"database_password": "", "broker_password": "say friend", "broker_authority": "say friend"}
        self.assertEqual(_files(given), wanted)
        gone = evolve(settings, messaging=MessagingSettings(url="amqps://mq", ca_file="/nowhere"))
        with self.assertRaises(NodeError) as caught:
            _files(gone)
        self.assertIn("the certificate of the broker's authority cannot be read here", str(caught.exception))

    def test_places(self) -> None:
        """Where others reach it, from the endpoint or said so."""
        for listen, address, wanted in (
            ("tcp:1:interface=10.0.0.1", "", "10.0.0.1:1"),
            ("tcp:port=1:interface=10.0.0.1", "h:2", "h:2"),
            (r"tcp6:1:interface=2001\:db8\:\:1", "", "[2001:db8::1]:1"),
            ("tcp:1", "", ""),
            ("tcp:1:interface=0.0.0.0", "", ""),
        ):
            settings = self.house.resources("one", listen=listen, address=address).settings.nodes
            place = place_of(settings)
            assert place is not None
            self.assertEqual((place.port, place.address), (1, wanted))
        for listen, address in (("tcp:", ""), ("tcp:70000", ""), ("unix:/x", ""), ("tcp:1:x=1", ""), ("tcp:1", "host")):
            with self.assertRaises(NodeError):
                place_of(self.house.resources("one", listen=listen, address=address).settings.nodes)

    def test_local_databases(self) -> None:
        """Which URLs mean the machine that reads them."""
        for hosts, local in (
            ("127.0.0.1:5432", True), ("localhost", True), ("[::1]:5432", True), ("", True), ("127.0.0.1,db", False),
            ("db:5432", False), ("192.0.2.1", False),
        ):  # fmt: skip
            self.assertEqual(_service._is_local(f"postgresql://u@{hosts}/d"), local, hosts)


class CertificateTests(ServiceCase):
    async def test_lost_folder(self) -> None:
        """One whose certificate cannot be used makes another one; the same is taken by a second process."""
        machine = await self.leading("one", listen=LISTEN)
        nodes: Nodes = machine.nodes
        await self.house.until(lambda: nodes.credentials)
        folder = NodeFolder(machine.resources.settings.state)
        (folder.path / "identity.pem").write_text("nonsense")
        nodes._looked_at = -100.0
        await nodes._look()
        assert nodes.credentials is not None
        again = self.house.machine("one", resources=machine.resources)
        again.nodes.lead()
        await self.house.until(lambda: again.nodes.credentials)
        assert again.nodes.credentials is not None
        self.assertEqual(again.nodes.credentials.serial, nodes.credentials.serial)
        self.assertGreater((await self.house.database.read(_rows.find, "one")).certificate, 1.6e9)

    async def test_cannot(self) -> None:
        """A node that cannot have one says so, and why."""
        first = await self.leading("one", listen=LISTEN)
        await self.house.until(lambda: first.nodes.credentials)
        await self.house.until(lambda: first.nodes.health()[0].ok)
        second = await self.leading("two", listen="tcp:5011:interface=127.0.0.1")
        await self.house.until(lambda: not second.nodes.health()[0].ok)
        self.assertIn("it has not the key that opens the authority's", second.nodes.health()[0].cause)
        shutil.copytree(first.resources.secrets / "authority", second.resources.secrets / "authority")
        second.nodes._looked_at = -100.0
        await second.nodes._look()
        self.assertTrue(second.nodes.health()[0].ok)
        self.assertIsInstance(second.nodes.admission, Admission)


class HealthAddressTests(ServiceCase):
    def test_where_others_ask(self) -> None:
        """The API's own URL, unless it is of this machine alone, or something else is set."""
        for api, told, expected in (
            ("http://192.0.2.1:5000", "", "http://192.0.2.1:5000/health"),
            ("http://127.0.0.1:5000", "", ""),
            ("http://[::1]:5000", "", ""),
            ("https://node-1.example:5000", "", "https://node-1.example:5000/health"),
            ("https://cloud.example", "http://192.0.2.1:5000/health", "http://192.0.2.1:5000/health"),
            ("https://cloud.example", "messaging", ""),
        ):
            resources = evolve(self.house.resources("one", health_url=told), urls={"api": api})
            self.assertEqual(health_url(resources), expected, api)
