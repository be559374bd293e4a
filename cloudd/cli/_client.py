# -*- test-case-name: tests.cli.test_client -*-
"""
The control socket from a program that may block: one HTTP request on a fresh connection a call.
"""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from cloudd.control import (
    SOCKET_NAME,
    Audit,
    BackupRequest,
    DatabaseMoveRequest,
    DatabaseStatus,
    Finality,
    FinalizeRequest,
    Health,
    How,
    Message,
    NodeFacts,
    NodeList,
    NodeLiveList,
    NodeRequest,
    NodeToken,
    Outcome,
    Plan,
    PlanRequest,
    Progress,
    PurgeRequest,
    Refusal,
    RollbackRequest,
    RollingPlan,
    RollingRequest,
    RollingStatus,
    Schedule,
    ScheduleRequest,
    Status,
    TaskFacts,
    TaskList,
    TaskRequest,
    TokenRequest,
    Trace,
    UpgradeRequest,
    to_json,
)

ANSWER_TIMEOUT_S = 30.0
ROLLING_PLAN_TIMEOUT_S = 100.0  # nodes read code trees, or tables are changed
STEP_TIMEOUT_S = 180.0  # longest silence between two steps of an upgrade

M = TypeVar("M", bound=Message)
Connect = Callable[[Path, float], http.client.HTTPConnection]


class Unreachable(Exception):
    """No daemon answers on the control socket; the text says why and what to do."""


class RefusedByDaemon(Exception):
    """The daemon answered, with a refusal: its words."""


class ControlClient:
    """
    A daemon by its state folder.  Every method blocks and raises ``Unreachable`` or ``RefusedByDaemon``.

    :param state: the folder that holds ``control.sock``
    :param connect: path of the socket and time-out in seconds -> an HTTP connection that is not open yet
    """

    def __init__(self, state: Path, connect: Connect | None = None) -> None:
        self.state = state
        self._connect: Connect = connect or UnixConnection

    def status(self) -> Status:
        return self._ask("GET", "/v1/status", Status)

    def health(self) -> Health:
        return self._ask("GET", "/v1/health", Health)

    def audit(self, limit: int) -> Audit:
        return self._ask("GET", f"/v1/audit?limit={limit}", Audit)

    def trace(self, request_id: str) -> Trace:
        return self._ask("GET", f"/v1/trace?request_id={quote(request_id, safe='')}", Trace)

    def tasks(self, state: str = "", kind: str = "", project_id: str = "", limit: int = 50) -> TaskList:
        """The newest that are in this state, of this kind and this project; empty: any."""
        asked = {"state": state, "kind": kind, "project_id": project_id, "limit": str(limit)}
        return self._ask("GET", f"/v1/tasks?{urlencode(asked)}", TaskList)

    def task(self, task_id: str) -> TaskFacts:
        return self._ask("GET", f"/v1/task?id={quote(task_id, safe='')}", TaskFacts)

    def cancel_task(self, task_id: str) -> TaskFacts:
        return self._ask("POST", "/v1/task/cancel", TaskFacts, TaskRequest(id=task_id))

    def retry_task(self, task_id: str) -> TaskFacts:
        return self._ask("POST", "/v1/task/retry", TaskFacts, TaskRequest(id=task_id))

    def purge(self, project_id: str, container: str) -> TaskFacts:
        """Order it; the answer is the task."""
        request = PurgeRequest(project_id=project_id, container=container)
        return self._ask("POST", "/v1/objects/purge", TaskFacts, request)

    def back_up(self) -> TaskFacts:
        """Order it; the answer is the task."""
        return self._ask("POST", "/v1/backup", TaskFacts, BackupRequest())

    def nodes(self) -> NodeList:
        return self._ask("GET", "/v1/nodes", NodeList)

    def node(self, node: str) -> NodeFacts:
        """By name or id, as are all nodes."""
        return self._ask("GET", f"/v1/node?node={quote(node, safe='')}", NodeFacts)

    def live_nodes(self, node: str = "") -> NodeLiveList:
        """What nodes, or the one of this name, say of themselves now."""
        return self._ask("GET", f"/v1/nodes/live?node={quote(node, safe='')}", NodeLiveList)

    def node_token(self, roles: list[str], valid_s: float) -> NodeToken:
        return self._ask("POST", "/v1/node/token", NodeToken, TokenRequest(roles=roles, valid_s=valid_s))

    def drain_node(self, node: str) -> NodeFacts:
        return self._ask("POST", "/v1/node/drain", NodeFacts, NodeRequest(node=node))

    def return_node(self, node: str) -> NodeFacts:
        return self._ask("POST", "/v1/node/return", NodeFacts, NodeRequest(node=node))

    def remove_node(self, node: str, *, force: bool) -> NodeFacts:
        return self._ask("POST", "/v1/node/remove", NodeFacts, NodeRequest(node=node, force=force))

    def rolling(self) -> RollingStatus:
        """The latest change of all nodes."""
        return self._ask("GET", "/v1/rolling", RollingStatus)

    def rolling_plan(self, request: RollingRequest) -> RollingPlan:
        """What it would do; every node is asked."""
        return self._ask("POST", "/v1/rolling/plan", RollingPlan, request, ROLLING_PLAN_TIMEOUT_S)

    def rolling_upgrade(self, request: RollingRequest) -> RollingStatus:
        """Begin it."""
        return self._ask("POST", "/v1/rolling/upgrade", RollingStatus, request)

    def rolling_rollback(self, parallel: int) -> RollingStatus:
        """Begin to take all back."""
        return self._ask("POST", "/v1/rolling/rollback", RollingStatus, RollbackRequest(parallel=parallel))

    def finalize(self, *, check: bool) -> Finality:
        """End the way back."""
        return self._ask("POST", "/v1/finalize", Finality, FinalizeRequest(check=check), ROLLING_PLAN_TIMEOUT_S)

    def schedule(self, request: ScheduleRequest) -> Schedule:
        """Where servers would run; nothing is written."""
        return self._ask("POST", "/v1/schedule", Schedule, request)

    def plan(self, tree: str, how: How = "", canary: float | None = None) -> Plan:
        return self._ask("POST", "/v1/plan", Plan, PlanRequest(tree=tree, how=how, canary=canary))

    def upgrade(
        self, tree: str, expected_hash: str, how: How = "", canary: float | None = None
    ) -> Iterator[Progress | Outcome]:
        """Steps as they begin, at last the outcome; the change goes on when nobody iterates any more."""
        request = UpgradeRequest(tree=tree, expected_hash=expected_hash, how=how, canary=canary)
        return self._stream("/v1/upgrade", request)

    def rollback(self) -> Iterator[Progress | Outcome]:
        """As ``upgrade``."""
        return self._stream("/v1/rollback", None)

    def database(self) -> DatabaseStatus:
        return self._ask("GET", "/v1/database", DatabaseStatus)

    def move_database(self, url: str, password_file: str, *, check: bool = False) -> Iterator[Progress | Outcome]:
        """As ``upgrade``."""
        return self._stream("/v1/database/move", DatabaseMoveRequest(url=url, password_file=password_file, check=check))

    def _ask(
        self,
        method: str,
        path: str,
        kind: type[M],
        body: Message | None = None,
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> M:
        with self._request(method, path, body, timeout_s) as answer:
            try:
                return msgspec.json.decode(answer.read(), type=kind)
            except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
                raise Unreachable(f"the daemon's answer cannot be read: {error}") from error

    def _stream(self, path: str, body: Message | None) -> Iterator[Progress | Outcome]:
        with self._request("POST", path, body, STEP_TIMEOUT_S) as answer:
            ended = False
            try:
                while line := answer.readline():
                    event = msgspec.json.decode(line, type=Progress | Outcome)
                    ended = isinstance(event, Outcome)
                    yield event
            except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
                raise Unreachable(f"the connection broke off ({error}): see `cloudctl status` and `audit`") from error
            if not ended:
                raise Unreachable("the connection ended before the change did: see `cloudctl status` and `audit`")

    def _request(self, method: str, path: str, body: Message | None, timeout_s: float) -> http.client.HTTPResponse:
        connection = self._connect(self.state / SOCKET_NAME, timeout_s)
        payload = to_json(body) if body is not None else None
        headers = {"Content-Type": "application/json"} if payload is not None else {}
        try:
            with suppress(BrokenPipeError):  # who may not ask is told so and cut off without being heard
                connection.request(method, path, body=payload, headers={**headers, "Connection": "close"})
            answer = connection.getresponse()
            if answer.status >= 400:
                raise RefusedByDaemon(_cause_in(answer.read(), answer.status))
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unreachable(_explain(error, self.state)) from error
        return answer


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        # A socket's path has at most 107 bytes; through an open folder it is short whatever the folder's depth.
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)


def _cause_in(body: bytes, status: int) -> str:
    try:
        return msgspec.json.decode(body, type=Refusal).cause
    except msgspec.DecodeError:
        return f"the daemon answered with status {status}: {body[:200]!r}"


def _explain(error: Exception, state: Path) -> str:
    where = f"{state / SOCKET_NAME}"
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"no daemon runs on the state folder {state}: start it, or name another folder with --state"
    if isinstance(error, ConnectionRefusedError):
        return f"the daemon of {state} has ended ({where} is left over): start it again"
    if isinstance(error, PermissionError):
        return f"{where} may be used only by the daemon's own user and root: become one of them"
    if isinstance(error, TimeoutError):
        return f"the daemon does not answer on {where}: see its log in {state / 'log'}"
    return f"the daemon on {where} cannot be spoken to: {error or type(error).__name__}"
