"""The control API's calls over our own HTTP server, in memory."""

from __future__ import annotations

import json
import os
from typing import Any

from twisted.internet.defer import Deferred

from tests.control.daemon import DaemonCase, Wire
from tests.daemon.test_trace import ID, line

NOBODY = 2**22 + 1  # a pid above the highest that Linux gives: no process has it


def request(method: str, path: str, body: Any = None) -> bytes:
    """One request, its body as JSON or as given bytes."""
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


def split(answer: bytes) -> tuple[int, bytes]:
    """Status and body (chunks joined) of one answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        chunks = []
        while body:
            size, _, body = body.partition(b"\r\n")
            chunks.append(body[: int(size, 16)])
            body = body[int(size, 16) + 2 :]
        body = b"".join(chunks)
    return int(head.split(b" ")[1]), body


class SiteTests(DaemonCase):
    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and decoded body of one call on a fresh connection."""
        wire = Wire(self.factory)
        wire.send(request(method, path, body))
        status, answer = split(wire.transport.value())
        wire.hang_up()
        return status, json.loads(answer)

    def stream(self, path: str, body: Any = None) -> list[Any]:
        """The decoded lines of a change."""
        wire = Wire(self.factory)
        wire.send(request("POST", path, body))
        status, answer = split(wire.transport.value())
        self.assertEqual(status, 200, answer)
        return [json.loads(line) for line in answer.splitlines()]

    def test_status_and_health(self) -> None:
        """Both come as the messages of the API, over one connection kept alive."""
        wire = Wire(self.factory)
        for path, key, value in (("/v1/status", "pid", 7), ("/v1/health", "status", "ok")):
            wire.transport.clear()
            wire.send(request("GET", path))
            status, answer = split(wire.transport.value())
            self.assertEqual((status, json.loads(answer)[key]), (200, value))
        self.assertFalse(wire.transport.disconnecting)

    def test_a_trace(self) -> None:
        """A request's lines with the files that were searched."""
        log = self.state / "log" / "access.log"
        log.parent.mkdir(exist_ok=True)
        log.write_bytes(line(ID))
        status, trace = self.call("GET", f"/v1/trace?request_id={ID}")
        self.assertEqual((status, trace["requests"][0]["worker"]), (200, "front-1"))
        self.assertEqual(trace["files"][0]["path"], str(log))

    def test_tasks(self) -> None:
        """What the application tells, in the API's form; what it refuses is 409, a wrong question 400."""
        facts = {"id": "t", "kind": "a.b", "state": "queued", "created": 1.0, "updated": 2.0}
        self.host.operations.update({"tasks.list": {"tasks": [facts], "more": True}, "tasks.show": facts})
        status, found = self.call("GET", "/v1/tasks?state=queued&limit=3")
        self.assertEqual((status, found["tasks"][0]["id"], found["more"]), (200, "t", True))
        self.assertEqual(self.host.operated[-1], ("tasks.list", {"state": "queued", "limit": 3}))
        self.assertEqual(self.call("GET", "/v1/task?id=t")[1]["kind"], "a.b")
        self.assertEqual(self.host.operated[-1], ("tasks.show", {"task_id": "t"}))
        for wrong in ("tasks?limit=0", "tasks?limit=1001", "tasks?other=1", "tasks?state=a&state=b", "task?x=1"):
            self.assertEqual(self.call("GET", f"/v1/{wrong}")[0], 400, wrong)
        for path, body in (("task/cancel", {"id": "t"}), ("objects/purge", {"project_id": "p", "container": "c"})):
            self.assertEqual(self.call("POST", f"/v1/{path}", body)[0], 409)
            self.assertEqual(self.call("POST", f"/v1/{path}", {})[0], 400)
            self.assertEqual(self.call("GET", f"/v1/{path}")[0], 405)

    def test_back_up(self) -> None:
        """The answer is the task; the order has an id of its own."""
        self.host.operations["backups.make"] = {
            "id": "t", "kind": "a.b", "state": "queued", "created": 1.0, "updated": 2.0
        }  # fmt: skip
        self.assertEqual(self.call("POST", "/v1/backup", {})[1]["id"], "t")
        self.assertRegex(self.host.operated[-1][1]["request_id"], "^req-[0-9a-f-]{36}$")
        self.assertEqual(self.call("POST", "/v1/backup", {"file": "/x"})[0], 400)

    def test_schedule(self) -> None:
        """What is asked for goes on as it is; without a flavor, and with what nobody knows, nothing is asked."""
        need = {"vcpus": 1, "memory_mib": 1, "disk_gib": 1}
        answer = {"need": need, "servers": 1, "placed": 0, "total": 0, "passing": 0, "cause": "no"}
        self.host.operations["scheduling.explain"] = answer
        status, found = self.call("POST", "/v1/schedule", {"flavor": "1", "zone": "z1"})
        self.assertEqual((status, found["cause"], found["hosts"]), (200, "no", []))
        call, asked = self.host.operated[-1]
        self.assertEqual((call, asked["flavor"], asked["zone"], asked["count"]), ("scheduling.explain", "1", "z1", 1))
        for wrong in ({}, {"flavor": "1", "sort": 1}, {"flavor": "1", "count": "x"}):
            self.assertEqual(self.call("POST", "/v1/schedule", wrong)[0], 400, wrong)

    def test_the_database(self) -> None:
        """Its facts, and a move as a stream of lines; a body with other fields is none."""
        status, found = self.call("GET", "/v1/database")
        self.assertEqual((status, found["kind"]), (200, "sqlite"))
        *steps, outcome = self.stream("/v1/database/move", {"url": "postgresql://a@b/c", "check": True})
        self.assertEqual([step["step"] for step in steps], ["check"])
        self.assertEqual((outcome["action"], outcome["result"]), ("migrate", "unchanged"))
        self.assertEqual(self.host.database.asked, [("postgresql://a@b/c", "", True, "root")])
        self.assertEqual(self.call("POST", "/v1/database/move", {"password": "x"})[0], 400)

    def test_a_plan(self) -> None:
        """With and without a tree; an empty body means the start tree."""
        self.version(2)
        self.assertEqual(self.call("POST", "/v1/plan", {})[1]["kind"], "swap")
        self.assertEqual(self.call("POST", "/v1/plan")[1]["tree"], str(self.start))
        self.assertEqual(self.call("POST", "/v1/plan", {"tree": "/nowhere"})[1]["kind"], "refused")

    def test_an_upgrade_is_a_stream_of_lines(self) -> None:
        """Steps, then the outcome; the audit log names the caller that the kernel vouched for."""
        new = self.version(2)
        self.caller = (0, NOBODY)
        lines = self.stream("/v1/upgrade", {"expected_hash": new.hash})
        self.assertEqual([line["step"] for line in lines[:-1]], ["check", "stage", "prepare", "commit", "clean"])
        self.assertEqual((lines[-1]["type"], lines[-1]["result"]), ("outcome", "committed"))
        entries = self.call("GET", "/v1/audit?limit=1")[1]["entries"]
        self.assertEqual([entry["who"] for entry in entries], [{"uid": 0, "pid": NOBODY, "user": "root", "origin": ""}])

    def test_a_rollback(self) -> None:
        """The previous code comes back; a refusal is an outcome too."""
        self.assertEqual(self.stream("/v1/rollback")[-1]["result"], "refused")
        self.version(2)
        self.stream("/v1/upgrade")
        self.assertEqual(self.stream("/v1/rollback")[-1]["new_hash"], self.old.hash)

    def test_a_step_is_seen_when_it_begins(self) -> None:
        """Lines are not held back until the end."""
        self.version(2)
        self.workers.gates["prepare"] = Deferred()
        wire = Wire(self.factory)
        wire.send(request("POST", "/v1/upgrade"))
        self.assertIn(b'"step":"prepare"', wire.transport.value())
        self.assertNotIn(b"outcome", wire.transport.value())
        self.assertIn("prepare", self.call("GET", "/v1/status")[1]["upgrade"]["step"])
        self.workers.gates["prepare"].callback(None)
        self.assertIn(b"outcome", wire.transport.value())

    def test_a_caller_that_hangs_up_stops_nothing(self) -> None:
        """The upgrade is completed and written down."""
        new = self.version(2)
        self.workers.gates["prepare"] = Deferred()
        wire = Wire(self.factory)
        wire.send(request("POST", "/v1/upgrade"))
        wire.hang_up()
        self.workers.gates["prepare"].callback(None)
        self.assertEqual(self.upgrades.current.tree.hash, new.hash)
        self.assertEqual(self.call("GET", "/v1/audit")[1]["entries"][0]["result"], "committed")

    def test_what_is_no_call_is_refused(self) -> None:
        """Unknown paths, wrong methods, bad bodies and parameters: each with a status and a cause."""
        for method, path, body, status in (
            ("GET", "/v1/nothing", None, 404),
            ("GET", "/v2/status", None, 404),
            ("POST", "/v1/status", {}, 405),
            ("GET", "/v1/upgrade", None, 405),
            ("POST", "/v1/plan", b"{", 400),
            ("POST", "/v1/plan", {"tree": 5}, 400),
            ("POST", "/v1/upgrade", {"force": True}, 400),
            ("POST", "/v1/upgrade", {"canary": 91}, 400),
            ("POST", "/v1/upgrade", {"canary": -1}, 400),
            ("POST", "/v1/plan", {"how": "restart"}, 400),
            ("POST", "/v1/rollback", {}, 400),
            ("POST", "/v1/plan", {"tree": "x" * 70_000}, 413),
            ("GET", "/v1/audit?limit=0", None, 400),
            ("GET", "/v1/audit?limit=x", None, 400),
            ("GET", "/v1/audit?limit=99999999999", None, 400),
            ("GET", "/v1/audit?limit=0000000019999", None, 400),
            ("GET", f"/v1/tasks?limit=000000001{'0' * 5000}", None, 400),
            ("GET", "/v1/audit?limit=1&limit=2", None, 400),
            ("GET", "/v1/audit?since=1", None, 400),
            ("GET", "/v1/trace", None, 400),
            ("GET", "/v1/trace?request_id=../x", None, 400),
            ("GET", f"/v1/trace?request_id={ID}&limit=1", None, 400),
            ("GET", f"/v1/trace?request_id={ID}&request_id={ID}", None, 400),
            ("POST", f"/v1/trace?request_id={ID}", {}, 405),
        ):
            with self.subTest(path=path, body=str(body)[:40]):
                found, answer = self.call(method, path, body)
                self.assertEqual((found, answer["status"]), (status, status))
                self.assertGreater(len(answer["cause"]), 10)
        self.assertEqual(self.workers.calls, [])

    def test_a_body_that_ends_early_changes_nothing(self) -> None:
        """Half a request for an upgrade is none."""
        self.version(2)
        wire = Wire(self.factory)
        wire.send(request("POST", "/v1/upgrade", {"tree": ""})[:-1])
        wire.hang_up()
        self.assertEqual(self.workers.calls, [])

    def test_while_the_daemon_starts(self) -> None:
        """Before there are workers an upgrade is refused; the status is there."""
        self.host.upgrades = None
        for method, path in (
            ("POST", "/v1/upgrade"),
            ("POST", "/v1/rollback"),
            ("POST", "/v1/plan"),
            ("GET", "/v1/audit"),
        ):
            status, answer = self.call(method, path)
            self.assertEqual((status, "starting" in answer["cause"]), (503, True))
        self.assertEqual(self.call("GET", "/v1/status")[0], 200)

    def test_an_accident_is_answered_and_logged(self) -> None:
        """An error of the daemon is a 500 with a hint, and the connection's next call works."""
        self.host.error = RuntimeError("oops")
        status, answer = self.call("GET", "/v1/status")
        self.assertEqual((status, "log" in answer["cause"]), (500, True))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_an_accident_in_the_middle_breaks_the_stream_off(self) -> None:
        """A change whose answer has begun cannot become a 500: the caller sees no outcome."""
        self.patch(self.upgrades, "upgrade", self.fail_late)
        wire = Wire(self.factory)
        wire.send(request("POST", "/v1/upgrade"))
        self.assertNotIn(b"outcome", wire.transport.value())
        self.assertTrue(wire.transport.disconnecting or wire.transport.disconnected)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def fail_late(self, *_args: Any) -> Deferred[Any]:
        raise RuntimeError("late")


class DoorTests(DaemonCase):
    def test_only_root_and_the_daemons_user_come_in(self) -> None:
        """Everyone else is told so and disconnected before any byte is read."""
        self.patch(os, "geteuid", lambda: 1000)
        for uid, allowed in ((0, True), (1000, True), (1001, False), (65534, False)):
            self.caller = (uid, 8)
            wire = Wire(self.factory)
            wire.send(request("GET", "/v1/status"))
            status, answer = split(wire.transport.value())
            self.assertEqual(status, 200 if allowed else 403)
            self.assertEqual(wire.transport.disconnecting, not allowed)
            if not allowed:
                self.assertIn(f"not user {uid}", json.loads(answer)["cause"])
            wire.hang_up()

    def test_bytes_that_are_no_http(self) -> None:
        """The HTTP server's own refusal."""
        wire = Wire(self.factory)
        wire.send(b"\x16\x03\x01 hello\r\n\r\n")
        self.assertEqual(split(wire.transport.value())[0], 400)
