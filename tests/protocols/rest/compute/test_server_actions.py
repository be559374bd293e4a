"""Actions of servers: what each writes and orders, who may, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from cloudd.compute import Doing, State, Wanted, release
from cloudd.protocols.rest.compute import ABSENT_ACTIONS, ACTIONS
from cloudd.protocols.rest.compute._action_tables import action_tables
from cloudd.protocols.rest.compute._server_actions import last_lines
from cloudd.tasks import LATE

from .schemas import faults_of
from .server_cloud import ADMIN, ALICE, BOB, NODE, READER, ServerCase

PAGE = Path(__file__).parents[4] / "docs" / "compute.md"
POWER = "compute.power_server"

#: Body, state in which it is allowed, what is being done then, what is wanted, verb and softness.
POWERS: tuple[tuple[dict[str, Any], State, Doing, Wanted, str, bool], ...] = (
    ({"os-start": None}, State.STOPPED, Doing.POWERING_ON, Wanted.RUNNING, "start", False),
    ({"os-stop": None}, State.ACTIVE, Doing.POWERING_OFF, Wanted.STOPPED, "stop", False),
    ({"os-stop": {}}, State.ERROR, Doing.POWERING_OFF, Wanted.STOPPED, "stop", False),
    ({"reboot": {"type": "SOFT"}}, State.ACTIVE, Doing.REBOOTING, Wanted.RUNNING, "reboot", True),
    ({"reboot": {"type": "HARD"}}, State.ACTIVE, Doing.REBOOTING_HARD, Wanted.RUNNING, "reboot", False),
    ({"reboot": {"type": "Hard"}}, State.SUSPENDED, Doing.REBOOTING_HARD, Wanted.RUNNING, "reboot", False),
    ({"pause": None}, State.ACTIVE, Doing.PAUSING, Wanted.PAUSED, "pause", False),
    ({"unpause": None}, State.PAUSED, Doing.UNPAUSING, Wanted.RUNNING, "unpause", False),
    ({"suspend": None}, State.ACTIVE, Doing.SUSPENDING, Wanted.SUSPENDED, "suspend", False),
    ({"resume": ""}, State.SUSPENDED, Doing.RESUMING, Wanted.RUNNING, "resume", False),
)


class PowerTests(ServerCase):
    async def test_each(self) -> None:
        """What is wanted and done stands in the row, the request in the history, and the host has a task."""
        for body, state, doing, wanted, verb, soft in POWERS:
            server_id = self.add(state)
            await self.act(202, server_id, body)
            row = self.row(server_id)
            self.assertEqual((row.state, row.doing, row.wanted), (state, doing, wanted), body)
            self.assertEqual(self.tasks(), [(POWER, NODE, {"server_id": server_id, "verb": verb, "soft": soft})])
            self.assertEqual(self.history(server_id), [(verb, "alice-id", "p1")])
            self.forget_tasks()
            cause = await self.conflict(server_id, body)
            self.assertEqual(
                cause, f"Cannot '{verb}' instance {server_id} while it is in task_state {doing}", "one at a time"
            )
            self.assertEqual((self.tasks(), len(self.history(server_id))), ([], 1))
            self.free(server_id)
        self.assertEqual(self.poked, len(POWERS))

    def free(self, server_id: str) -> None:
        """Make room for the next one."""
        with self.database.engine.begin() as connection:
            release(connection, server_id)

    async def test_wrong_state(self) -> None:
        """409 with the state that is in the way; nothing is written."""
        server_id = self.add(State.RESIZED)
        for body in ({"os-start": None}, {"os-stop": None}, {"pause": None}, {"unpause": None}, {"suspend": None},
                     {"resume": None}, {"reboot": {"type": "SOFT"}}, {"reboot": {"type": "HARD"}}):  # fmt: skip
            (name,) = body
            cause = await self.conflict(server_id, body)
            verb = name.removeprefix("os-")
            self.assertEqual(cause, f"Cannot '{verb}' instance {server_id} while it is in vm_state resized")
        self.assertEqual((self.tasks(), self.history(server_id), self.row(server_id).doing), ([], [], None))

    async def test_request_id(self) -> None:
        """The answer's, the action's and the task's are one."""
        server_id = self.add()
        answer = await self.call(ALICE, "POST", f"/servers/{server_id}/action", {"os-stop": None})
        request_id = answer.headers["x-compute-request-id"]
        path = f"/servers/{server_id}/os-instance-actions/{request_id}"
        found = await self.good(200, ALICE, "GET", path)
        self.assertEqual(found["instanceAction"]["action"], "stop")

    async def test_fits(self) -> None:
        """As tempest has it: no body, and the version."""
        for version in ("2.1", "2.79"):
            server_id = self.add()
            answer = await self.call(ALICE, "POST", f"/servers/{server_id}/action", {"os-stop": None}, version)
            self.assertEqual(faults_of(answer, "servers", "server_actions_common_schema", "2.1"), [])
            self.assertEqual(answer.headers["openstack-api-version"], f"compute {version}")


class RightsTests(ServerCase):
    async def test_others(self) -> None:
        """Another project's server is not there; readers only read; one that is gone is not there either."""
        server_id, gone = self.add(), self.add(deleted_us=5, state=State.DELETED)
        self.write(gone, deleted_us=5)
        bodies: tuple[dict[str, Any], ...] = (
            {"os-stop": None}, {"lock": None}, {"rebuild": {"imageRef": "x"}}, {"createImage": {"name": "x"}},
            {"resize": {"flavorRef": "2"}}, {"confirmResize": None}, {"os-getConsoleOutput": {}},
            {"addSecurityGroup": {"name": "default"}}, {"forceDelete": None}, {"os-resetState": {"state": "error"}},
        )  # fmt: skip
        for body in bodies:
            for who, target in ((BOB, server_id), (ALICE, gone), (ADMIN, gone), (ALICE, "none")):
                path = f"/servers/{target}/action"
                cause = await self.refused(404, "itemNotFound", who, "POST", path, body)
                self.assertEqual(cause, f"Instance {target} could not be found.")
            if "forceDelete" not in body:
                await self.refused(403, "forbidden", READER, "POST", f"/servers/{server_id}/action", body)
        self.assertEqual(self.tasks(), [])

    async def test_administrators(self) -> None:
        """May do it to every project's servers; the history tells who it was."""
        server_id = self.add()
        await self.act(202, server_id, {"os-stop": None}, ADMIN)
        self.assertEqual(self.history(server_id), [("stop", "root-id", "p0")])

    async def test_lock(self) -> None:
        """Who is no administrator changes nothing of it any more; whoever locked it unlocks it."""
        server_id = self.add()
        await self.act(202, server_id, {"lock": None})
        self.assertEqual(self.row(server_id).locked_by, "owner")
        for body in ({"os-stop": None}, {"createImage": {"name": "x"}}, {"resize": {"flavorRef": "2"}}):
            self.assertEqual(await self.conflict(server_id, body), f"Instance {server_id} is locked")
        await self.act(202, server_id, {"unlock": None})
        await self.act(202, server_id, {"os-stop": None})
        self.assertEqual([each[0] for each in self.history(server_id)], ["lock", "unlock", "stop"])

    async def test_administrators_lock(self) -> None:
        """Its owner does not take it away; a reason is told from 2.73 on."""
        server_id = self.add()
        await self.act(202, server_id, {"lock": {"locked_reason": "why"}}, ADMIN, "2.73")
        row = self.row(server_id)
        self.assertEqual((row.locked_by, row.locked_reason), ("admin", "why"))
        await self.act(202, server_id, {"lock": None})  # nothing changes
        self.assertEqual(self.row(server_id).locked_by, "admin")
        path = f"/servers/{server_id}/action"
        await self.refused(403, "forbidden", ALICE, "POST", path, {"unlock": None})
        await self.act(202, server_id, {"os-stop": None}, ADMIN)
        await self.act(202, server_id, {"unlock": None}, ADMIN)
        row = self.row(server_id)
        self.assertEqual((row.locked_by, row.locked_reason), (None, None))
        await self.bad(server_id, {"lock": {"locked_reason": "why"}}, ALICE, "2.72")
        for reason in ("", "x" * 256, 1):
            await self.bad(server_id, {"lock": {"locked_reason": reason}}, ALICE, "2.73")

    async def test_reset_state(self) -> None:
        """For administrators, whatever is being done."""
        server_id = self.add(doing=Doing.SPAWNING, state=State.BUILDING)
        path = f"/servers/{server_id}/action"
        await self.refused(403, "forbidden", ALICE, "POST", path, {"os-resetState": {"state": "active"}})
        for state in ("error", "active"):
            await self.act(202, server_id, {"os-resetState": {"state": state}}, ADMIN)
            self.assertEqual((self.row(server_id).state, self.row(server_id).doing), (state, None))
        for bad in ({"state": "stopped"}, {"state": None}, {}, None, "error"):
            await self.bad(server_id, {"os-resetState": bad}, ADMIN)


class OtherTests(ServerCase):
    async def test_force_delete(self) -> None:
        """As a delete."""
        server_id = self.add(State.ERROR, doing=Doing.REBUILDING)
        answer = await self.call(ALICE, "POST", f"/servers/{server_id}/action", {"forceDelete": ""})
        self.assertEqual(answer.status, 202)
        self.assertEqual(self.tasks(), [("compute.delete_server", NODE, {"server_id": server_id})])
        self.assertEqual(self.row(server_id).doing, Doing.DELETING)
        self.assertEqual(self.history(server_id), [("delete", "alice-id", "p1")])
        cause = await self.conflict(server_id, {"restore": None})
        self.assertEqual(cause, f"Cannot 'restore' instance {server_id} while it is in vm_state error")

    async def test_not_there(self) -> None:
        """501 by name; 404 in versions that have it not, and of servers that are none."""
        server_id = self.add()
        path = f"/servers/{server_id}/action"
        for name, action in ABSENT_ACTIONS.items():
            version = f"2.{action.first[1]}"
            cause = await self.refused(501, "notImplemented", ALICE, "POST", path, {name: None}, version)
            self.assertIn(name, cause)
            await self.refused(404, "itemNotFound", BOB, "POST", path, {name: None}, version)
            for minor in (action.first[1] - 1, action.last[1] + 1):
                if 1 <= minor <= 79:
                    cause = await self.refused(404, "itemNotFound", ALICE, "POST", path, {name: None}, f"2.{minor}")
                    self.assertEqual(cause, f"API version 2.{minor} is not supported on this method.")

    async def test_network(self) -> None:
        """There is nothing to do: 202, for administrators."""
        server_id = self.add(locked_by="owner")
        path = f"/servers/{server_id}/action"
        for name in ("resetNetwork", "injectNetworkInfo"):
            await self.act(202, server_id, {name: None}, ADMIN)
            await self.bad(server_id, {name: {"x": 1}}, ADMIN)
            await self.refused(409, "conflictingRequest", ALICE, "POST", path, {name: None})
            await self.refused(404, "itemNotFound", BOB, "POST", path, {name: None})
            await self.refused(403, "forbidden", ALICE, "POST", f"/servers/{self.add()}/action", {name: None})
        self.assertEqual((self.tasks(), self.history(server_id)), ([], []))

    def test_documented(self) -> None:
        """Every action stands in the page, with what it does."""
        made = {line for line in action_tables().splitlines() if line.startswith("| ")}
        written = {line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")}
        self.assertEqual(made - written, set(), "run script/pages")
        self.assertGreater(len(made), len(ACTIONS) + len(ABSENT_ACTIONS))

    async def test_bad(self) -> None:
        """400 with what is wrong."""
        server_id = self.add()
        bodies: tuple[dict[str, Any], ...] = (
            {}, {"os-start": None, "os-stop": None}, {"dance": None}, {"os-stop": {"now": True}}, {"os-stop": [1]},
            {"reboot": None}, {"reboot": {}}, {"reboot": {"type": "MEDIUM"}}, {"reboot": {"type": 1}},
            {"reboot": {"type": "SOFT", "x": 1}}, {"unlock": 1}, {"confirmResize": {"x": 1}}, {"resize": {}},
            {"resize": {"flavorRef": ""}}, {"resize": {"flavorRef": "2", "OS-DCF:diskConfig": "auto"}},
            {"resize": {"flavorRef": "x" * 256}}, {"createImage": {}}, {"createImage": {"name": ""}},
            {"createImage": {"name": "x", "metadata": {"a": 1}}}, {"createImage": {"name": "x", "metadata": []}},
            {"createImage": {"name": "x", "metadata": {"": "x"}}}, {"createBackup": {"name": "x", "backup_type": "d"}},
            {"createBackup": {"name": "x", "backup_type": "d", "rotation": -1}},
            {"createBackup": {"name": "x", "backup_type": "d", "rotation": "x"}},
            {"createBackup": {"name": "x", "backup_type": 7, "rotation": 1}},
            {"createBackup": {"name": "", "backup_type": "d", "rotation": 1}},
            {"createBackup": {"name": "x", "backup_type": "d" * 256, "rotation": 1}},
            {"createBackup": {"name": "x", "backup_type": "d", "rotation": 1, "metadata": {"a": 1}}},
            {"os-getConsoleOutput": {"length": "x"}},
            {"os-getConsoleOutput": {"length": -2}}, {"os-getConsoleOutput": {"lines": 1}},
            {"addSecurityGroup": None}, {"addSecurityGroup": {}}, {"removeSecurityGroup": {"name": 1}},
        )  # fmt: skip
        for body in bodies:
            await self.bad(server_id, body)
        self.assertEqual((self.tasks(), self.history(server_id)), ([], []))


class ConsoleTests(ServerCase):
    async def output(self, server_id: str, body: Any, text: str) -> str:
        """What is answered when the host tells this."""
        answering = self.act(200, server_id, {"os-getConsoleOutput": body})
        waiting = Deferred.fromCoroutine(answering)
        self.assertEqual(
            self.tasks(), [("compute.read_console", NODE, {"server_id": server_id, "last_bytes": 102_400})]
        )
        self.end_task({"output": text})
        self.resources.reactor.advance(1.0)
        found: str = (await waiting)["output"]
        self.forget_tasks()
        return found

    async def test_lines(self) -> None:
        """All that the host tells, or so many lines of its end."""
        server_id = self.add(State.STOPPED)
        for body in ({}, None, {"length": None}, {"length": -1}, {"length": "-1"}):
            self.assertEqual(await self.output(server_id, body, "a\nb\nc"), "a\nb\nc")
        for length in (2, "2"):
            self.assertEqual(await self.output(server_id, {"length": length}, "a\nb\nc"), "b\nc")
        self.assertEqual((last_lines("a\nb", 0), last_lines("a\nb", 9)), ("", "a\nb"))

    async def test_silent_host(self) -> None:
        """503 after a while; the task does not outlive it."""
        server_id = self.add()
        body: dict[str, Any] = {"os-getConsoleOutput": {}}
        waiting = Deferred.fromCoroutine(
            self.refused(503, "serviceUnavailable", ALICE, "POST", f"/servers/{server_id}/action", body)
        )
        for _ in range(40):
            self.resources.reactor.advance(1.0)
        self.assertIn("does not answer", await waiting)
        self.forget_tasks()
        waiting = Deferred.fromCoroutine(
            self.refused(503, "serviceUnavailable", ALICE, "POST", f"/servers/{server_id}/action", body)
        )
        self.end_task(cause=LATE)
        self.resources.reactor.advance(1.0)
        self.assertIn("does not answer", await waiting)

    async def test_no_console(self) -> None:
        """409: it is on no host, or the host cannot read it."""
        cause = await self.conflict(self.add(State.BUILDING, node_id="", host=""), {"os-getConsoleOutput": {}})
        self.assertIn("is not ready", cause)
        waiting = Deferred.fromCoroutine(self.conflict(self.add(), {"os-getConsoleOutput": {}}))
        self.end_task(cause="the guest is gone")
        self.resources.reactor.advance(1.0)
        self.assertIn("the guest is gone", await waiting)


class HostileTests(ServerCase):
    async def test_whatever_is_sent(self) -> None:
        """To whichever action, it is refused for what it is; nothing is an accident."""
        values: tuple[Any, ...] = (
            [], 7, "text", True, {"x": {}}, {"type": [1]}, {"name": {"a": 1}}, {"name": "x" * 70_000}, {"state": {}},
            {"name": "\ud800"}, {"flavorRef": int("9" * 400)}, {"length": int("9" * 400)}, {"length": "9" * 400},
            {"imageRef": "i" * 255}, {"imageRef": "i", "metadata": {"a": {"b": 1}}}, {"locked_reason": {"a": 1}},
            {"imageRef": "i", "personality": [{"path": "/a", "contents": "\u2603"}]},
            {"imageRef": "i", "accessIPv4": "9" * 400}, {"imageRef": "i", "adminPass": "x" * 256},
        )  # fmt: skip
        server_id = self.add()
        for name in (*ACTIONS, *ABSENT_ACTIONS, "x" * 3_000, "\u2603"):
            for value in values:
                for version in ("2.1", "2.79"):
                    answer = await self.call(ADMIN, "POST", f"/servers/{server_id}/action", {name: value}, version)
                    self.assertIn(answer.status, (400, 404, 409, 410, 501), f"{name[:40]} {value}: {answer.text}")
        self.assertEqual(self.tasks(), [])
