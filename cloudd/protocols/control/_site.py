# -*- test-case-name: tests.protocols.control.test_site -*-
"""
The control API's calls, on our own HTTP server: read, ask ``IControlled``, write.

One ``ControlSite`` belongs to one connection and so to one caller, whose ids the kernel gave.  Changes are streamed as
JSON lines; they go on when the caller hangs up.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cloudd.control import (
    Actor,
    BackupRequest,
    DatabaseMoveRequest,
    Finality,
    FinalizeRequest,
    IControlled,
    IUpgrades,
    Listener,
    Message,
    NodeFacts,
    NodeList,
    NodeLive,
    NodeLiveList,
    NodeRequest,
    NodeToken,
    Outcome,
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
    TaskFacts,
    TaskList,
    TaskRequest,
    TokenRequest,
    UpgradeRequest,
    limit_in,
    to_json,
)
from cloudd.interfaces.application import OperationRefused
from cloudd.protocols.http import BodyTooLarge, BodyTruncated, ClientGone, Request

MAX_BODY_BYTES = 65_536
MAX_AUDIT = 10_000
MAX_TASKS = 1_000
SHOWN_TASKS = 50
REQUEST_ID = re.compile("req-[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
JSON = (b"content-type", b"application/json")
JSON_LINES = (b"content-type", b"application/x-ndjson")

M = TypeVar("M", bound=Message)
Change = Callable[[Listener], Deferred[Outcome]]


class CallRefused(Exception):
    """The call is not carried out; becomes the answer of that status."""

    def __init__(self, status: int, cause: str) -> None:
        super().__init__(cause)
        self.status = status
        self.cause = cause


class ControlSite:
    """
    All calls of one connection; a ``Site`` of ``cloudd.protocols.http``.

    :param actor: who is at the other end
    """

    log = Logger()

    def __init__(self, controlled: IControlled, actor: Actor) -> None:
        self._controlled = controlled
        self._actor = actor
        self._calls: dict[bytes, tuple[bytes, Callable[[Request], Coroutine[Any, Any, None]]]] = {
            b"/v1/status": (b"GET", self._status),
            b"/v1/health": (b"GET", self._health),
            b"/v1/audit": (b"GET", self._audit),
            b"/v1/trace": (b"GET", self._trace),
            b"/v1/tasks": (b"GET", self._tasks),
            b"/v1/task": (b"GET", self._task),
            b"/v1/task/cancel": (b"POST", self._cancel_task),
            b"/v1/task/retry": (b"POST", self._retry_task),
            b"/v1/objects/purge": (b"POST", self._purge),
            b"/v1/backup": (b"POST", self._back_up),
            b"/v1/database": (b"GET", self._database),
            b"/v1/database/move": (b"POST", self._move_database),
            b"/v1/nodes": (b"GET", self._nodes),
            b"/v1/nodes/live": (b"GET", self._live_nodes),
            b"/v1/node": (b"GET", self._node),
            b"/v1/node/token": (b"POST", self._node_token),
            b"/v1/node/drain": (b"POST", self._drain_node),
            b"/v1/node/return": (b"POST", self._return_node),
            b"/v1/node/remove": (b"POST", self._remove_node),
            b"/v1/rolling": (b"GET", self._rolling),
            b"/v1/rolling/plan": (b"POST", self._rolling_plan),
            b"/v1/rolling/upgrade": (b"POST", self._rolling_upgrade),
            b"/v1/rolling/rollback": (b"POST", self._rolling_rollback),
            b"/v1/finalize": (b"POST", self._finalize),
            b"/v1/schedule": (b"POST", self._schedule),
            b"/v1/plan": (b"POST", self._plan),
            b"/v1/upgrade": (b"POST", self._upgrade),
            b"/v1/rollback": (b"POST", self._rollback),
        }

    async def handle(self, request: Request) -> None:
        """Carry out one call; every error becomes an answer with a cause."""
        try:
            method, call = self._calls.get(request.path, (b"", None))
            if call is None:
                raise CallRefused(404, f"there is no {request.path.decode('latin-1')} in version 1 of the control API")
            if request.method != method:
                raise CallRefused(405, f"{request.path.decode('latin-1')} takes {method.decode()} alone")
            request.route = request.path.decode()
            await call(request)
        except CallRefused as error:
            _refuse(request, error.status, error.cause)
        except OperationRefused as error:
            _refuse(request, 409, str(error))
        except BodyTooLarge as error:
            _refuse(request, 413, str(error))
        except BodyTruncated as error:
            _refuse(request, 400, f"the body ended early: {error}")
        except Exception:
            self.log.failure("{path} failed", path=request.path.decode("latin-1"))
            if request.started:
                request.abort()
            else:
                _refuse(request, 500, "the daemon failed at this call: see its log")

    def finished(self, request: Request) -> None:
        """Nothing is kept of a call."""

    def moved(self, request: Request) -> None:
        """Nothing is kept of a call."""

    async def _status(self, request: Request) -> None:
        _answer(request, await self._controlled.status())

    async def _health(self, request: Request) -> None:
        _answer(request, await self._controlled.health())

    async def _audit(self, request: Request) -> None:
        upgrades = self._upgrades()
        _answer(request, await upgrades.audit(_limit_in(request.query)))

    async def _trace(self, request: Request) -> None:
        _answer(request, await self._controlled.trace(_request_id_in(request.query)))

    async def _tasks(self, request: Request) -> None:
        values = _parameters(request.query, ("state", "kind", "project_id", "limit"))
        limit = _limit(values.pop("limit", str(SHOWN_TASKS)), MAX_TASKS)
        found = await self._controlled.operate("tasks.list", {**values, "limit": limit})
        _answer(request, msgspec.convert(found, TaskList))

    async def _task(self, request: Request) -> None:
        await self._answer_task(request, "tasks.show", task_id=_parameter(request.query, "id", ""))

    async def _cancel_task(self, request: Request) -> None:
        body = await _read(request, TaskRequest)
        await self._answer_task(request, "tasks.cancel", task_id=body.id, who=self._who)

    async def _retry_task(self, request: Request) -> None:
        body = await _read(request, TaskRequest)
        await self._answer_task(request, "tasks.retry", task_id=body.id, who=self._who)

    async def _purge(self, request: Request) -> None:
        body = await _read(request, PurgeRequest)
        facts = {"project_id": body.project_id, "container": body.container}
        self.log.info("{who} has {container} of project {project_id} purged", who=self._who, **facts)
        await self._answer_task(request, "objects.purge", **facts, request_id=f"req-{uuid.uuid4()}")

    async def _back_up(self, request: Request) -> None:
        await _read(request, BackupRequest)
        self.log.info("{who} has the control state backed up", who=self._who)
        await self._answer_task(request, "backups.make", request_id=f"req-{uuid.uuid4()}")

    async def _answer_task(self, request: Request, call: str, **arguments: Any) -> None:
        _answer(request, msgspec.convert(await self._controlled.operate(call, arguments), TaskFacts))

    async def _nodes(self, request: Request) -> None:
        _answer(request, msgspec.convert(await self._controlled.operate("nodes.list", {}), NodeList))

    async def _live_nodes(self, request: Request) -> None:
        asked = {"node": _parameter(request.query, "node", "")}
        found = await self._controlled.operate("nodes.live", asked)
        _answer(request, NodeLiveList(nodes=[_live(each) for each in found["nodes"]]))

    async def _node(self, request: Request) -> None:
        await self._answer_node(request, "nodes.show", node=_parameter(request.query, "node", ""))

    async def _node_token(self, request: Request) -> None:
        body = await _read(request, TokenRequest)
        arguments = {"who": self._who, "roles": body.roles, "valid_s": body.valid_s}
        _answer(request, msgspec.convert(await self._controlled.operate("nodes.token", arguments), NodeToken))

    async def _drain_node(self, request: Request) -> None:
        body = await _read(request, NodeRequest)
        await self._answer_node(request, "nodes.drain", node=body.node, who=self._who)

    async def _return_node(self, request: Request) -> None:
        body = await _read(request, NodeRequest)
        await self._answer_node(request, "nodes.return", node=body.node, who=self._who)

    async def _remove_node(self, request: Request) -> None:
        body = await _read(request, NodeRequest)
        await self._answer_node(request, "nodes.remove", node=body.node, who=self._who, force=body.force)

    async def _answer_node(self, request: Request, call: str, **arguments: Any) -> None:
        _answer(request, msgspec.convert(await self._controlled.operate(call, arguments), NodeFacts))

    async def _rolling(self, request: Request) -> None:
        await self._answer_as(request, RollingStatus, "rolling.status")

    async def _rolling_plan(self, request: Request) -> None:
        body = await _read(request, RollingRequest)
        asked = {"tree": body.tree, "how": body.how, "canary": body.canary, "parallel": body.parallel}
        await self._answer_as(request, RollingPlan, "rolling.plan", **asked)

    async def _rolling_upgrade(self, request: Request) -> None:
        body = await _read(request, RollingRequest)
        self.log.info("{who} has all nodes upgraded to {tree}", who=self._who, tree=body.tree)
        await self._answer_as(request, RollingStatus, "rolling.upgrade", who=self._who, **msgspec.structs.asdict(body))

    async def _rolling_rollback(self, request: Request) -> None:
        body = await _read(request, RollbackRequest)
        self.log.info("{who} has all nodes taken back", who=self._who)
        await self._answer_as(request, RollingStatus, "rolling.rollback", who=self._who, parallel=body.parallel)

    async def _finalize(self, request: Request) -> None:
        body = await _read(request, FinalizeRequest)
        await self._answer_as(request, Finality, "rolling.finalize", who=self._who, check=body.check)

    async def _schedule(self, request: Request) -> None:
        body = await _read(request, ScheduleRequest)
        await self._answer_as(request, Schedule, "scheduling.explain", **msgspec.structs.asdict(body))

    async def _answer_as(self, request: Request, kind: type[Message], call: str, **arguments: Any) -> None:
        _answer(request, msgspec.convert(await self._controlled.operate(call, arguments), kind))

    @property
    def _who(self) -> str:
        return f"{self._actor.user} (process {self._actor.pid})"

    async def _database(self, request: Request) -> None:
        _answer(request, await self._controlled.database.status())

    async def _move_database(self, request: Request) -> None:
        body = await _read(request, DatabaseMoveRequest)
        moves = self._controlled.database
        await self._stream(
            request,
            lambda listener: moves.move(body.url, body.password_file, body.check, self._actor, listener),
        )

    async def _plan(self, request: Request) -> None:
        body = await _read(request, PlanRequest)
        _answer(request, await self._upgrades().plan(body.tree, body.how, body.canary))

    async def _upgrade(self, request: Request) -> None:
        body = await _read(request, UpgradeRequest)
        upgrades = self._upgrades()
        await self._stream(
            request,
            lambda listener: upgrades.upgrade(
                body.tree, body.expected_hash, self._actor, listener, body.canary, body.how
            ),
        )

    async def _rollback(self, request: Request) -> None:
        if await request.body.read(MAX_BODY_BYTES):
            raise CallRefused(400, "a rollback takes no body")
        upgrades = self._upgrades()
        await self._stream(request, lambda listener: upgrades.rollback(self._actor, listener))

    def _upgrades(self) -> IUpgrades:
        upgrades = self._controlled.upgrades
        if upgrades is None:
            raise CallRefused(503, "the daemon is starting: try again in a moment")
        return upgrades  # type: ignore[no-any-return]

    async def _stream(self, request: Request, change: Change) -> None:
        def write(event: Progress | Outcome) -> None:
            if not request.client_gone:
                waiting = request.write(to_json(event) + b"\n")
                if waiting is not None:  # few and short lines: nothing waits for the caller
                    waiting.addErrback(lambda failure: failure.trap(ClientGone) and None)

        request.start(200, [JSON_LINES])
        write(await change(write))
        if not request.client_gone:
            request.finish()


def _answer(request: Request, message: Message) -> None:
    request.respond(200, [JSON], to_json(message))


def _live(said: dict[str, Any]) -> NodeLive:
    """What one node says: one of other code may say what nobody understands here, which must not hide the others."""
    try:
        return msgspec.convert(said, NodeLive)
    except msgspec.ValidationError as error:
        cause = f"it answers, but what it says cannot be read here: {error}"
        return NodeLive(id=said["id"], name=said["name"], answers=False, cause=cause)


def _refuse(request: Request, status: int, cause: str) -> None:
    if not request.started and not request.client_gone:
        request.respond(status, [JSON], to_json(Refusal(cause=cause, status=status)))


async def _read(request: Request, kind: type[M]) -> M:
    data = await request.body.read(MAX_BODY_BYTES)
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise CallRefused(400, f"the body is no {kind.__name__}: {error}") from None


def _limit_in(query: bytes) -> int:
    return _limit(_parameter(query, "limit", "20"), MAX_AUDIT)


def _limit(limit: str, most: int) -> int:
    try:
        return limit_in(limit, most)
    except ValueError as error:
        raise CallRefused(400, str(error)) from None


def _request_id_in(query: bytes) -> str:
    request_id = _parameter(query, "request_id", "")
    if not REQUEST_ID.fullmatch(request_id):
        raise CallRefused(400, "request_id is what an answer has in X-OpenStack-Request-ID: req- and a UUID")
    return request_id


def _parameter(query: bytes, name: str, default: str) -> str:
    """The one parameter that a call takes."""
    values = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    found = values.pop(name, [default])
    if values or len(found) != 1:
        raise CallRefused(400, f"this call takes one parameter: {name}")
    return found[0]


def _parameters(query: bytes, names: tuple[str, ...]) -> dict[str, str]:
    """Those that are given of the parameters that a call takes, each once."""
    values = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    if set(values) - set(names) or any(len(found) != 1 for found in values.values()):
        raise CallRefused(400, f"this call takes, each once: {', '.join(names)}")
    return {name: found[0] for name, found in values.items()}
