"""``/events`` as clients see it: answers, isolation, the end of tokens, and moves."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.identity import ApplicationCredentialLogin, AuthRequest, DomainScope
from cloudd.interfaces.settings import EventSettings
from cloudd.protocols.events import EVENT_STATES
from cloudd.protocols.events._face import _asked
from cloudd.protocols.http import NotExportable, Request
from cloudd.protocols.rest import Fault
from reload import Converters, Spoken, States
from tests.identity.house import House
from tests.protocols.events.cloud import EventCloud, blocks, has_ended, types
from tests.protocols.http.conversation import Conversation


def request_of(client: Conversation) -> Request:
    """The stream's."""
    request = client.connection.request
    assert request is not None
    return request


class EventsCase(TestCase):
    settings = EventSettings()

    async def setUp(self) -> None:  # type: ignore[override]
        self.house = await House.built(self)
        self.cloud = EventCloud(self, self.house, self.settings)
        self.identity = self.cloud.identity
        self.demo = await self.house.demo(self.identity)
        self.admin = await self.identity.authenticate(self.house.password_login("admin"))
        self.project = self.house.login["demo_project_id"]

    async def make(self, *containers: str, project: str = "") -> None:
        for container in containers:
            await self.cloud.store.create_container(f"AUTH_{project or self.project}", container, {})

    async def heard(self, client: Conversation, count: int) -> list[dict[str, str]]:
        """Wait until that many events came."""
        await self.cloud.until(lambda: len(blocks(client)) >= count, f"{count} events")
        return blocks(client)

    async def answered(self, client: Conversation) -> tuple[int, str]:
        """Status and body of an answer that is no stream."""
        await self.cloud.until(lambda: client.heard, "an answer")
        head, _, body = client.heard.partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()


class AnswerTests(EventsCase):
    settings = EventSettings(subscribers=2)

    async def test_stream(self) -> None:
        """Head, beginning and events."""
        client = self.cloud.ask(token=self.demo.token)
        await self.cloud.begun(client)
        head = client.heard.partition(b"\r\n\r\n")[0].decode()
        for line in ("200 OK", "Content-Type: text/event-stream", "Cache-Control: no-store", "X-Accel-Buffering: no"):
            self.assertIn(line, head)
        await self.make("box")
        (event,) = await self.heard(client, 1)
        self.assertEqual(event["event"], "container.created")
        data = json.loads(event["data"])
        self.assertEqual((data["type"], data["project_id"], data["container"]), (event["event"], self.project, "box"))
        (request,) = self.cloud.site.handled
        self.assertEqual((request.route, request.project_id), ("/events", self.project))

    async def test_refusals(self) -> None:
        """Each with its status and its cause."""
        unscoped = await self.identity.authenticate(self.house.password_login("admin", DomainScope(id="default")))
        for status, cause, path, token, fields in (
            (401, "no X-Auth-Token", "/events", "", ()),
            (401, "token", "/events", "nonsense", ()),
            (403, "project in scope", "/events", unscoped.token, ()),
            (403, "administrator", "/events?all", self.demo.token, ()),
            (400, "'sort'", "/events?sort=1", self.demo.token, ()),
            (400, "'objects'", "/events?types=objects", self.demo.token, ()),
            (400, "true nor false", "/events?all=maybe", self.admin.token, ()),
            (400, "c12.o3456", "/events", self.demo.token, ("Last-Event-ID: 17",)),
        ):
            found, body = await self.answered(self.cloud.ask(path, token, *fields))
            self.assertEqual(found, status, body)
            self.assertIn(cause, json.loads(body)["error"]["message"])
        self.assertEqual(self.cloud.events._hub.count, 0)

    async def test_methods(self) -> None:
        """HEAD has the head and no stream; others are not allowed."""
        client = self.cloud.ask(token=self.demo.token, method="HEAD")
        self.assertEqual(await self.answered(client), (200, ""))
        self.assertIn(b"text/event-stream", client.heard)
        client = self.cloud.ask(token=self.demo.token, method="DELETE")
        self.assertEqual((await self.answered(client))[0], 405)
        self.assertIn(b"Allow: GET, HEAD", client.heard)

    async def test_full(self) -> None:
        """Beyond the bound there is a 503; who leaves makes room."""
        one, _two = self.cloud.ask(token=self.demo.token), self.cloud.ask(token=self.demo.token)
        refused = self.cloud.ask(token=self.demo.token)
        self.assertEqual((await self.answered(refused))[0], 503)
        self.assertIn(b"Retry-After: 5", refused.heard)
        one.transport.lose()
        await self.cloud.begun(self.cloud.ask(token=self.demo.token))

    async def test_client_leaves(self) -> None:
        """Nothing of it stays, at whichever moment."""
        client = self.cloud.ask(token=self.demo.token)
        await self.cloud.begun(client)
        self.assertEqual(self.cloud.events._hub.count, 1)
        client.transport.lose()
        slow = self.cloud.ask(token=(await self.house.worker().authenticate(self.house.password_login("demo"))).token)
        slow.transport.lose()  # while its token is verified
        await self.cloud.pass_by()
        self.assertEqual(self.cloud.events._hub.count, 0)
        self.assertEqual(self.cloud.events._grants._grants, {})
        self.assertEqual([request.status for request in self.cloud.site.over], [200, 499])


class SightTests(EventsCase):
    async def test_projects_are_apart(self) -> None:
        """A tenant hears of nothing of another one's, now or from before, whatever it asks."""
        await self.make("before", project="other")
        await self.make("mine")
        client = self.cloud.ask("/events?types=container", self.demo.token, "Last-Event-ID: c0.o0")
        whole = self.cloud.ask("/events?all&types=container", self.admin.token, "Last-Event-ID: c0.o0")
        own = self.cloud.ask("/events?types=container", self.admin.token, "Last-Event-ID: c0.o0")
        await self.cloud.begun(client, whole, own)
        await self.make("after", project="other")
        await self.make("too")
        self.assertEqual(len(await self.heard(whole, 4)), 4)
        self.assertEqual(
            [json.loads(each["data"])["container"] for each in await self.heard(client, 2)], ["mine", "too"]
        )
        self.assertEqual(blocks(own), [])

    async def test_identity(self) -> None:
        """Changes of records come to those who may see them: the user, its project, administrators."""
        member = self.cloud.ask("/events?types=identity", self.demo.token)
        whole = self.cloud.ask("/events?types=identity&all", self.admin.token)
        await self.cloud.begun(member, whole)
        admin = self.admin.access
        other = await self.house.member(self.identity, "other", project=self.project)
        credential = await self.identity.application_credentials.create(
            self.demo.access, self.demo.access.user_id, {"name": "mine"}
        )
        await self.identity.projects.update(admin, self.project, {"description": "new"})
        await self.identity.users.delete(admin, other.id)
        self.assertEqual(
            [each["event"] for each in await self.heard(member, 2)],
            ["identity.application_credential.created", "identity.project.updated"],
        )
        self.assertEqual(json.loads(blocks(member)[0]["data"])["id"], credential.id)
        told = [each["event"].removeprefix("identity.") for each in await self.heard(whole, 6)]
        self.assertEqual(
            told[:4], ["user.created", "role_assignment.created", "application_credential.created", "project.updated"]
        )
        # What goes with a record is told before it by SQLite, after it by PostgreSQL.
        self.assertEqual(sorted(told[4:]), ["role_assignment.deleted", "user.deleted"])
        for secret in (credential.secret, "password", "hash"):
            self.assertNotIn(str(secret).encode(), whole.heard)

    async def test_restricted_credential(self) -> None:
        """A token of an application credential with few roles sees what these give, and no EC2 keys."""
        user_id = self.demo.access.user_id
        made = await self.identity.application_credentials.create(
            self.demo.access, user_id, {"name": "few", "secret": "s", "roles": [{"name": "reader"}]}
        )
        login = ApplicationCredentialLogin(id=made.id, secret="s")
        issued = await self.identity.authenticate(
            AuthRequest(methods=("application_credential",), application_credential=login)
        )
        few, full = self.cloud.ask(token=issued.token), self.cloud.ask(token=self.demo.token)
        await self.cloud.begun(few, full)
        await self.identity.ec2_credentials.create(self.demo.access, user_id, self.project)
        await self.make("box")
        self.assertEqual(
            sorted(each["event"] for each in await self.heard(full, 2)),
            ["container.created", "identity.ec2_credential.created"],
        )
        await self.heard(few, 1)
        self.assertEqual(types(few), ["container.created"])

    async def test_upgrades(self) -> None:
        """What the host tells of itself reaches administrators who ask for all; unknown kinds are refused."""
        whole, own = self.cloud.ask("/events?all", self.admin.token), self.cloud.ask("/events", self.admin.token)
        await self.cloud.begun(whole, own)
        await self.cloud.events.note("upgrade.progress", {"step": "load", "worker": "front-1"})
        (event,) = await self.heard(whole, 1)
        data = json.loads(event["data"])
        self.assertEqual((event["event"], data["step"], data["project_id"]), ("upgrade.progress", "load", None))
        self.assertEqual(blocks(own), [])
        self.assertRaises(ValueError, self.cloud.events.note, "object.created", {})


class TokenTests(EventsCase):
    async def test_revoked(self) -> None:
        """The stream ends in order, and what happens afterwards does not come."""
        client, other = self.cloud.ask(token=self.demo.token), self.cloud.ask(token=self.admin.token)
        await self.cloud.begun(client, other)
        await self.identity.revoke(self.demo.access, self.demo.token)
        await self.make("box")
        await self.cloud.until(lambda: has_ended(client), "the end")
        self.assertEqual(blocks(client), [])
        self.assertIn(b": the token is not valid", client.heard)
        self.assertFalse(has_ended(other))
        self.assertTrue(client.transport.reading)  # the connection stays open for the next request

    async def test_revoked_elsewhere(self) -> None:
        """By another worker: within the time that revocations take."""
        client = self.cloud.ask(token=self.demo.token)
        await self.cloud.begun(client)
        other = self.house.worker()
        await other.revoke(self.demo.access, self.demo.token)
        await self.cloud.until(lambda: has_ended(client), "the end")

    async def test_role_taken(self) -> None:
        """Who loses the role that showed it objects hears of no more."""
        user = await self.house.member(self.identity, "leaver", project=self.project)
        issued = await self.house.login_as(self.identity, user)
        client = self.cloud.ask(token=issued.token)
        await self.cloud.begun(client)
        roles = await self.identity.roles.list(self.admin.access, name="member")
        await self.identity.assignments.revoke(
            self.admin.access, role_id=roles.items[0].id, user_id=user.id, project_id=self.project
        )
        await self.make("box")
        await self.cloud.until(lambda: has_ended(client), "the end")
        self.assertNotIn("container.created", types(client))


class MoveTests(EventsCase):
    async def begun(self, *fields: str) -> Conversation:
        client = self.cloud.ask("/events?types=container", self.demo.token, *fields)
        await self.cloud.begun(client)
        return client

    async def test_to_another_process(self) -> None:
        """A stream that is moved between any two events loses none and doubles none; the old one lets go."""
        client, still = await self.begun(), await self.begun()
        for number in range(6):
            await self.make(f"b{number}")
            if number % 2:
                await self.cloud.pass_by()
            old = self.cloud.events
            if number == 2:  # another worker, which has read nothing yet
                self.cloud.new_generation()
            client.move()
            client.move()  # while its token is verified
            if number == 2:
                self.assertEqual(old._hub.count, 1)
        expected = [f"b{number}" for number in range(6)]
        for each in (client, still):
            found = await self.heard(each, 6)
            self.assertEqual([json.loads(one["data"])["container"] for one in found], expected)
        ids = [one["id"] for one in blocks(client)]
        self.assertEqual([each.partition(".")[2] for each in ids], [f"o{number}" for number in range(1, 7)])

    async def test_to_a_newer_generation(self) -> None:
        """In one process: on the same connection, and the old generation is free of it."""
        client = await self.begun()
        await self.make("one")
        old = self.cloud.events
        self.cloud.new_generation()
        client.connection.begin_again(request_of(client))
        self.assertEqual(old._hub.count, 0)
        await self.make("two")
        found = [json.loads(each["data"])["container"] for each in await self.heard(client, 2)]
        self.assertEqual(found, ["one", "two"])
        self.assertEqual(self.cloud.site.over, [])
        self.assertEqual(client.heard.count(b"200 OK"), 1)

    async def test_only_beginning(self) -> None:
        """What has no position yet is not moved; soon it can be."""
        client = self.cloud.ask("/events", self.demo.token)
        self.assertTrue(request_of(client).follows)  # so it is asked again
        self.assertRaises(NotExportable, client.connection.begin_again, request_of(client))
        await self.cloud.begun(client)
        client.connection.begin_again(request_of(client))

    async def test_token_ended_on_the_way(self) -> None:
        """In the new place the token is looked at again."""
        client = await self.begun()
        self.cloud.new_generation()
        await self.identity.revoke(self.demo.access, self.demo.token)
        client.move()
        await self.cloud.until(lambda: has_ended(client), "the end")

    async def test_state_of_another_version(self) -> None:
        """A stream that the code which serves cannot read stays in the old generation, and goes on there."""
        client = await self.begun()
        request: Any = client.connection.request
        serving = Spoken([States({"event-stream": 99})])
        refused = self.assertRaises(NotExportable, client.connection.begin_again, request, serving.received)
        self.assertIn("event-stream: version 1 cannot become version 99", str(refused))
        await self.make("one")
        self.assertEqual(len(await self.heard(client, 1)), 1)

    async def test_state_that_is_converted(self) -> None:
        """The state of another version is brought to the one that is read here."""
        client = await self.begun()
        request: Any = client.connection.request
        position = request.move.tell()["position"]
        request.can_move(lambda: {"at": position}, lambda: None, follows=True, state=("event-stream", 2))
        newer = Converters()
        newer.add("event-stream", 1, up=lambda old: {"at": old["position"]}, down=lambda new: {"position": new["at"]})
        spoken = Spoken([EVENT_STATES, States({"event-stream": 2}, newer)])
        self.cloud.new_generation()
        client.connection.begin_again(request, spoken.received)
        await self.make("one")
        self.assertEqual(len(await self.heard(client, 1)), 1)
        self.assertEqual(client.heard.count(b"200 OK"), 1)


class AskedTests(SynchronousTestCase):
    """What is asked for, out of any bytes."""

    @given(st.binary(max_size=200), st.binary(max_size=40))
    @example(b"all=&types=,,&types=object.", b"c0.o0")
    @example(b"types=%ff%00&all=%31", b"c1.o1, c2.o2")
    @example(b"&&=&all;types", b"\xc2\xb2")
    def test_any_bytes(self, query: bytes, position: bytes) -> None:
        """It is understood or refused with 400; nothing else happens."""
        request: Any = SimpleNamespace(resumed=None, header={b"last-event-id": position}.get)
        try:
            asked = _asked(query, request)
        except Fault as fault:
            self.assertEqual(fault.status, 400)
            self.assertLess(len(fault.message), 400)
            return
        self.assertEqual(str(asked.position or "").encode(), position)
        self.assertEqual(
            asked, _asked(b"all=%d&types=%b" % (asked.everything, ",".join(asked.types).encode()), request)
        )
