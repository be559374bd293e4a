# -*- test-case-name: tests.rolling.test_service -*-
"""Changes of the whole cloud's code, as one part of a generation: what operators may ask, and the kinds of tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import define, field
from sqlalchemy import Connection, select

from cloudd.database import tables
from cloudd.interfaces.application import Resources
from cloudd.interfaces.orders import NodeOrders
from cloudd.nodes import Release, latest_release, open_release
from cloudd.tasks import Fields, Kind, submit

from ._errors import RollingError
from ._finalize import look, make_final
from ._health import Live
from ._kinds import FORMS, RESOURCE, ROLLBACK, UPGRADE, rolling_kinds
from ._plan import NodeView, Survey, examine
from ._reach import Reach, open_change

ACTIONS = {UPGRADE.name: "upgrade", ROLLBACK.name: "rollback"}
MAX_PARALLEL = 100
MAX_SETTLE_S = 3_600.0
KINDS = tuple(form.name for form in FORMS)

Show = Callable[[str], Awaitable[dict[str, Any]]]


@define(eq=False)
class Rolling:
    """
    One part of a generation; in every worker, asked in the agent's.

    :param live: what a node says of itself over messaging
    :param show: one task as plain data, by id
    :param poke: a task was submitted
    """

    _resources: Resources
    _orders: NodeOrders
    _live: Live
    _reach: Reach = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._reach = Reach(self._resources, self._orders, self._live)

    def task_kinds(self) -> tuple[Kind, ...]:
        """The long work of this service."""
        return rolling_kinds(self._reach, self._look, self._resources.database)

    async def _look(self, payload: Fields, task_id: str) -> Survey:
        return await self._reach.survey(
            FORMS, payload.get("tree", ""), payload.get("how", ""), payload.get("canary"), skip=task_id
        )

    # ---- operators

    def calls(self, show: Show, poke: Callable[[], None]) -> dict[str, Callable[..., Awaitable[dict[str, Any]]]]:
        """
        What operators may ask: functions of keyword arguments that give plain data or raise ``RollingError``.

        :param show: one task as plain data, by id
        :param poke: a task was submitted
        """

        async def begin(function: Callable[..., str], *args: Any) -> dict[str, Any]:
            await self._resources.database.write(function, *args)
            poke()
            return await self._status(show)

        async def upgrade(**asked: Any) -> dict[str, Any]:
            return await begin(_submit_upgrade, _checked(asked))

        async def rollback(who: str, parallel: int = 1) -> dict[str, Any]:
            return await begin(_submit_rollback, _checked({"who": who, "parallel": parallel}))

        async def status() -> dict[str, Any]:
            return await self._status(show)

        return {
            "rolling.plan": self._plan,
            "rolling.upgrade": upgrade,
            "rolling.rollback": rollback,
            "rolling.status": status,
            "rolling.finalize": self._finalize,
        }

    async def _plan(
        self, tree: str = "", how: str = "", canary: float | None = None, parallel: int = 1
    ) -> dict[str, Any]:
        survey = await self._reach.survey(FORMS, tree, how, canary)
        plan = examine(survey)
        return {
            "target_hash": plan.target_hash,
            "causes": list(plan.causes),
            "warnings": list(plan.warnings),
            "parallel": parallel,
            "nodes": [_view(view, survey) for view in plan.nodes],
        }

    async def _status(self, show: Show) -> dict[str, Any]:
        task_id, release = await self._resources.database.read(_latest)
        told: dict[str, Any] = {"release": _told(release)}
        if not task_id:
            return told
        task = await show(task_id)
        state, payload = task.get("step_state") or {}, task.get("payload") or {}
        told.update(
            {name: task[name] for name in ("id", "state", "step", "cause", "created", "updated", "progress", "total")}
        )
        return {
            **told,
            "action": ACTIONS[task["kind"]],
            "tree": payload.get("tree", ""),
            "who": payload.get("who", ""),
            "parallel": payload.get("parallel", 1),
            "target_hash": state.get("target_hash", ""),
            "nodes": state.get("nodes", []),
        }

    async def _finalize(self, who: str, check: bool = False) -> dict[str, Any]:
        database, lost_s = self._resources.database, self._reach.lost_s
        found = await (database.read(look, lost_s, KINDS) if check else database.write(make_final, lost_s, KINDS, who))
        return {
            "hash": found.new_hash,
            "steps": list(found.steps),
            "causes": list(found.causes),
            "nothing": found.is_idle,
            "done": not check and not found.is_idle,
        }


def _checked(asked: Mapping[str, Any]) -> Fields:
    """
    :raises RollingError: a figure is out of its range
    """
    if not 1 <= asked.get("parallel", 1) <= MAX_PARALLEL:
        raise RollingError(f"from 1 to {MAX_PARALLEL} nodes can be changed at a time")
    if not 0 <= asked.get("settle_s", 0) <= MAX_SETTLE_S:
        raise RollingError(f"a node is looked at for 0 to {MAX_SETTLE_S:.0f} s")
    return dict(asked)


def _submit_upgrade(connection: Connection, payload: Fields) -> str:
    return _submit_only(connection, UPGRADE, payload)


def _submit_rollback(connection: Connection, payload: Fields) -> str:
    if open_release(connection) is None:
        raise RollingError("there is no upgrade that can be gone back from: the last one is final, or was taken back")
    return _submit_only(connection, ROLLBACK, payload)


def _submit_only(connection: Connection, form: Any, payload: Fields) -> str:
    """
    :raises RollingError: another one is open
    """
    present = open_change(connection, KINDS)
    if present:
        raise RollingError(f"a rolling change is under way: task {present}, see `cloudctl status --rolling`")
    return submit(connection, form, payload, resource=RESOURCE)


def _latest(connection: Connection) -> tuple[str, Release | None]:
    columns = tables.task.c
    query = select(columns.id).where(columns.kind.in_(KINDS)).order_by(columns.created_us.desc()).limit(1)
    return connection.execute(query).scalar() or "", latest_release(connection)


def _told(release: Release | None) -> dict[str, Any] | None:
    if release is None:
        return None
    return {
        "id": release.id,
        "new_hash": release.new_hash,
        "tree": release.tree,
        "state": release.state,
        "state_s": release.state_s,
        "state_by": release.state_by,
        "nodes": len(release.before),
    }


def _view(view: NodeView, survey: Survey) -> dict[str, Any]:
    plan, row = view.plan or {}, view.row
    return {
        "id": row.id,
        "name": row.name,
        "state": row.shown_state(survey.lost_s),
        "own": row.id == survey.own_id,
        "hash": view.runs,
        "target_hash": plan.get("target_hash", ""),
        "kind": plan.get("kind", ""),
        "reason": plan.get("reason", ""),
        "cause": plan.get("cause", "") if plan.get("kind") == "refused" else "",
        "trouble": view.trouble,
    }
