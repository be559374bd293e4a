"""A whole generation checks itself: parts, then faces, as a swap and a start ask it to."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd import face_checks, network
from cloudd.application import HANDLER_STATES, Application, make_ready
from cloudd.compute import Keypair, create_keypair, listed_keypairs
from cloudd.daemon._metrics import WorkerMetrics
from cloudd.interfaces.application import OperationRefused, SelfCheckFailed
from cloudd.protocols.http import Request, http_kinds
from cloudd.protocols.http._moving import UNNAMED_STATES
from cloudd.protocols.rest._routing import _app_of
from reload import Converters, Spoken, States
from storage import MemoryStore

from .identity.house import House


class StateTests(SynchronousTestCase):
    """What requests tell that go on in other code: kinds and versions are what the code before reads."""

    def greetings(self, new: States) -> tuple[str, ...]:
        """Causes why this code, as the old one, and code with these states cannot hand over to each other."""
        old, other = http_kinds(lambda: Spoken([HANDLER_STATES])), http_kinds(lambda: Spoken([new]))
        agreement = old.agree(other.hello())
        return agreement.unsendable + agreement.unreadable

    def test_as_in_the_code_before(self) -> None:
        """A version that is raised needs its steps, both ways, as long as that code may be there."""
        for kind, version in UNNAMED_STATES.items():
            own = HANDLER_STATES.versions[kind]
            self.assertIn(version, HANDLER_STATES.converters.reachable(kind, own), kind)
            self.assertIn(version, HANDLER_STATES.converters.readable(kind, own), kind)

    def test_each_kind_in_another_version(self) -> None:
        """Refused by a swap and by a hand-over, with kind and versions; others are not in the way."""
        self.assertEqual(len(HANDLER_STATES.versions), 8)
        for kind, version in HANDLER_STATES.versions.items():
            new = States({**HANDLER_STATES.versions, kind: version + 1}, HANDLER_STATES.converters)
            (cause,) = Spoken([HANDLER_STATES]).obstacles(new)
            self.assertIn(f"{kind}: written as version {version}, read are only {version + 1}", cause)
            there, back = self.greetings(new)
            self.assertIn(f"{kind}: written as version {version}, read are only {version + 1}", there)
            self.assertIn(f"{kind}: written as version {version + 1}, read are only {version}", back)

    def test_each_kind_in_another_version_with_its_steps(self) -> None:
        """Neither is refused."""
        for kind, version in HANDLER_STATES.versions.items():
            steps = Converters()
            steps.add(kind, version, up=dict, down=dict)
            merged = Converters.merged([HANDLER_STATES.converters, steps])
            new = States({**HANDLER_STATES.versions, kind: version + 1}, merged)
            self.assertEqual(Spoken([HANDLER_STATES]).obstacles(new), [])
            self.assertEqual(Spoken([new]).obstacles(HANDLER_STATES), [])
            self.assertEqual(self.greetings(new), ())


class ReadyTests(TestCase):
    async def test_rules_are_made_before_the_fork(self) -> None:
        """What is made ready is what an application needs but for the one rule of its root."""
        make_ready()
        made = _app_of.cache_info().misses
        house = await House.built(self)
        Application(evolve(house.resources(house.database()), metrics=WorkerMetrics()), MemoryStore())
        self.assertLessEqual(_app_of.cache_info().misses - made, 1)


class SelfCheckTests(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.house = await House.built(self)
        self.metrics = WorkerMetrics()
        resources = evolve(self.house.resources(self.house.database()), metrics=self.metrics)
        self.application = Application(resources, MemoryStore())

    async def refusal(self) -> str:
        """How the self-check fails."""
        with self.assertRaises(SelfCheckFailed) as caught:
            await self.ended(self.application.self_check())
        return str(caught.exception)

    async def ended(self, checking: Deferred[None]) -> None:
        """Each check has a turn of its own: let them come."""
        turns = LoopingCall(self.house.clock.advance, 0)
        turns.start(0.001)
        try:
            await checking
        finally:
            turns.stop()

    def checking(self) -> Deferred[None]:
        """The faces are being checked."""
        check = face_checks.check_faces(self.application._faces, self.application._resources)
        return Deferred.fromCoroutine(check)

    def answer(self, face: str, handler: Callable[[Request], Coroutine[Any, Any, None] | None]) -> None:
        """Let that face answer so from now on."""
        self.application._faces[face] = handler

    def counted(self) -> list[Any]:
        """All metrics but those of the process, whose CPU time goes on meanwhile."""
        return [family for family in self.metrics.export() if not family["name"].startswith("process_")]

    async def test_operators_calls(self) -> None:
        """A purge of what is not there, a bad name and an unknown call are refused in words; a good one is a task."""
        operate = self.application.operate
        purge = {"project_id": "p", "container": "box", "request_id": "req-1"}
        for call, arguments, words in (
            ("objects.purge", purge, "project p has no container box"),
            ("objects.purge", {**purge, "container": "a/b"}, "contains a slash"),
            ("tasks.show", {"task_id": "x"}, "there is no task x"),
            ("no.such", {}, "the code that runs has no no.such"),
        ):
            failed = await self.assertFailure(operate(call, arguments), OperationRefused)
            self.assertIn(words, str(failed))
        await self.application.objects.store.create_container("AUTH_p", "box", {})
        task = await operate("objects.purge", purge)
        self.assertEqual((task["kind"], task["resource"]), ("objects.purge_container", "AUTH_p/box"))
        self.assertEqual((task["project_id"], task["request_id"]), ("p", "req-1"))
        self.assertEqual((await operate("objects.purge", purge))["id"], task["id"])
        self.assertEqual(len((await operate("tasks.list", {}))["tasks"]), 1)
        await self.application.rest()

    async def test_backup(self) -> None:
        """An operator's order is a task of this node."""
        task = await self.application.operate("backups.make", {"request_id": "req-1"})
        self.assertEqual((task["kind"], task["resource"]), ("backups.back_up", "control state"))
        self.assertEqual((await self.application.operate("backups.make", {"request_id": "req-2"}))["id"], task["id"])
        await self.application.rest()

    async def test_deleted_project(self) -> None:
        """Its purge is ordered with it, and begins after the time in which an operator may think better of it."""
        admin = await self.house.admin(self.application.identity)
        values = {"name": "p", "domain_id": "default"}
        project = await self.application.identity.projects.create(admin, values)
        await self.application.identity.projects.delete(admin, project.id)
        [task] = (await self.application.operate("tasks.list", {}))["tasks"]
        self.assertEqual((task["kind"], task["resource"]), ("objects.purge_account", f"AUTH_{project.id}"))
        self.assertTrue(3_500 < task["waits_s"] <= 3_600)

    async def test_deleted_owners(self) -> None:
        """Limits go with their project, key pairs with their user, in the same transaction."""
        identity, database = self.application.identity, self.house.database()
        admin = await self.house.admin(identity)
        project = await identity.projects.create(admin, {"name": "p", "domain_id": "default"})
        user = await identity.users.create(admin, {"name": "u", "domain_id": "default"})
        key = Keypair(user_id=user.id, name="k", number=0, type="ssh", fingerprint="x", public_key="x")
        await database.write(create_keypair, admin, key)
        await database.write(network.set_quota, admin, project.id, {"port": 7})
        await identity.projects.delete(admin, project.id)
        await identity.users.delete(admin, user.id)
        self.assertEqual(await database.read(network.all_quotas, admin), {})
        self.assertEqual(await database.read(listed_keypairs, admin, user.id), [])

    async def test_on_trial(self) -> None:
        """In a canary only tasks are done; the upkeep is the old code's until the new one was decided for."""
        application, began = self.application, list[str]()
        for name in ("identity", "objects", "images", "events", "tasks"):
            self.patch(type(application._parts[name]), "lead", lambda *_, name=name: began.append(name))
        application.lead(["objects.purge_account"], on_trial=True)
        self.assertEqual(began, ["tasks"])
        application.lead()
        self.assertEqual(sorted(began[1:]), ["events", "identity", "images", "objects", "tasks"])

    async def test_good_code(self) -> None:
        """Every face answers before anything was started, with little work, and nothing is counted."""
        await self.ended(self.application.self_check())
        before, counted = time.thread_time(), self.counted()
        await self.ended(self.checking())
        self.assertLess(time.thread_time() - before, 1.0)
        self.assertEqual(self.counted(), counted)
        self.assertEqual({check.face for check in face_checks.CHECKS}, set(self.application._faces))

    async def test_a_turn_each(self) -> None:
        """Clients are served between two checks."""
        order = list[str]()
        for face, handler in list(self.application._faces.items()):

            def asked(request: Request, handler: Any = handler) -> Any:
                order.append(request.path.decode())
                return handler(request)

            self.answer(face, asked)

        def turn(_reactor: object, delay_s: float) -> Deferred[None]:
            order.append(f"after {delay_s:g} s")
            return succeed(None)

        self.patch(face_checks, "deferLater", turn)
        await self.checking()
        self.assertEqual(order, [word for check in face_checks.CHECKS for word in ("after 0 s", check.path)])

    async def test_a_face_that_fails_when_it_runs(self) -> None:
        """The face, the path and both statuses are named; the log has the trace."""
        for face, path, status in (("api", "/identity/v3", 200), ("object", "/info", 200), ("s3", "/", 403)):
            good = self.application._faces[face]

            def fail(_request: Request) -> None:
                raise NameError("no such word")

            self.answer(face, fail)
            self.assertEqual(await self.refusal(), f"face {face}: GET {path} answered 500, expected {status}")
            self.assertEqual(len(self.flushLoggedErrors(NameError)), 1)
            self.answer(face, good)

    async def test_a_face_that_lets_everybody_in(self) -> None:
        """An answer without a token where one is needed is a failure as well."""
        good = self.application._faces["api"]

        def careless(request: Request) -> Coroutine[Any, Any, None] | None:
            if request.path != b"/identity/v3/users":
                return good(request)
            request.respond(200, [], b"{}")
            return None

        self.answer("api", careless)
        self.assertEqual(await self.refusal(), "face api: GET /identity/v3/users answered 200, expected 401")

    async def test_wrong_words(self) -> None:
        """The right status with another body is not the right answer."""
        self.answer("s3", lambda request: request.respond(403, [], b"no"))
        self.assertIn("answered 403 without <Code>AccessDenied</Code>", await self.refusal())

    async def test_a_connection_that_is_dropped(self) -> None:
        """No answer at all has words of its own, and so has a face that is missing."""
        self.answer("s3", lambda request: request.abort())
        self.assertEqual(await self.refusal(), "face s3: GET / dropped the connection, expected 403")
        del self.application._faces["s3"]
        self.assertEqual(await self.refusal(), "face s3: there is none")

    async def test_a_face_that_hangs(self) -> None:
        """All checks together have a limit; the one that hangs is named."""

        async def hang(_request: Request) -> None:
            await Deferred()

        self.answer("object", hang)
        checking = self.checking()
        self.house.clock.advance(0)
        self.assertNoResult(checking)
        self.house.clock.advance(face_checks.LIMIT_S)
        failed = self.failureResultOf(checking, SelfCheckFailed)
        self.assertIn("face object: GET /info was not answered when 5 s", str(failed.value))
