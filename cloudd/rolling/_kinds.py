# -*- test-case-name: tests.rolling.test_kinds -*-
"""
A rolling change as a task: it goes on wherever it is claimed, whatever was killed, from what it saved last.

**Upgrade**: look at everything, then node after node; when one fails, ``undo`` takes the changed ones back, newest
first, and the task has failed.  Cancelling the task does the same.  **Rollback**: take all nodes back that run the new
code of the open release; one that cannot go back does not stop the others.  Either begins anew when it is tried again.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import define
from sqlalchemy import Connection, insert
from twisted.internet.defer import Deferred, FirstError, gatherResults

from cloudd.database import now_us, tables
from cloudd.nodes import NodeError, Release, begin_release, end_release, open_release
from cloudd.tasks import Fields, Form, Kind, Retry, Step, Task, TaskFailed

from ._cloud import Cloud
from ._drive import Drive, Wanted
from ._plan import RollingPlan, Survey, examine
from ._progress import AWAY, ORDERED, RETURNING, STUCK, NodeProgress, Rollout, named, states

UPGRADE = Form(name="rolling.upgrade_nodes")
"""``tree``, ``expected_hash``, ``how``, ``canary``, ``parallel``, ``settle_s``, ``who``."""

ROLLBACK = Form(name="rolling.roll_back_nodes")
"""``parallel``, ``who``."""

FORMS = (UPGRADE, ROLLBACK)
RESOURCE = "cloud"
LOOK_S = 1.0
UNWELL_S = 20.0
"""So long a node that is not well, or does not answer, has at the beginning."""


Look = Callable[[Fields, str], Awaitable[Survey]]
"""Payload of an upgrade and the task's id -> what is there."""


Token = Callable[[], str]


def new_token() -> str:
    """With what the ids of a change's orders begin: a task that is tried again gives orders of its own."""
    return f"rolling-{uuid.uuid4().hex[:12]}"


def rolling_kinds(cloud: Cloud, look: Look, database: Any, token: Token = new_token) -> tuple[Kind, Kind]:
    """
    :param look: before an upgrade begins
    :param database: the control database
    """
    upgrade = _Upgrade(cloud, look, token)
    rollback = _Rollback(cloud, database, token)
    retry = Retry(attempts=30, longest_s=20.0)
    return (
        Kind(
            form=UPGRADE,
            steps=(Step("check", upgrade.check), Step("roll", upgrade.roll)),
            retry=retry,
            permanent=(NodeError,),
            undo=upgrade.undo,
        ),
        Kind(form=ROLLBACK, steps=(Step("check", rollback.check), Step("return", rollback.go_back)), retry=retry),
    )


@define(eq=False)
class _Upgrade:
    cloud: Cloud
    look: Look
    token: Token

    async def check(self, task: Task) -> Fields | None:
        plan = await self._plan(task)
        if plan.causes:
            raise TaskFailed("; ".join(plan.causes))
        expected = task.payload.get("expected_hash", "")
        if expected and plan.target_hash != expected:
            raise TaskFailed(
                f"the tree is no longer {expected[:12]} but {plan.target_hash[:12]}: look at the plan again"
            )
        rollout = Rollout(nodes=plan.progress())
        state = {**rollout.fields(), "target_hash": plan.target_hash, "orders": self.token()}
        await task.write(begin_release, _release(task, plan), state=state, total=len(rollout.nodes))
        return None

    async def _plan(self, task: Task) -> RollingPlan:
        """As it is once nodes have had some time to be well: one has just been upgraded, the broker was restarted."""
        until = self.cloud.seconds() + UNWELL_S
        while True:
            plan = examine(await self.look(task.payload, task.id))
            if not plan.causes or not plan.may_pass or self.cloud.seconds() >= until:
                return plan
            await self.cloud.pause(LOOK_S)

    async def roll(self, task: Task) -> Fields | None:
        rollout, drive, parallel = self._begun(task)
        # Whose turn has come without an order being sent yet gets none any more; `undo` waits for those that were sent.
        while not rollout.stop() and (batch := rollout.batch(parallel)):
            await _move(self.cloud, task, rollout, batch, drive.forward, _turns)
        cause = rollout.stop()
        if cause:
            raise TaskFailed(cause)
        return {"nodes": states(rollout.nodes), "away": [node.name for node in rollout.of(AWAY)]}

    async def undo(self, task: Task) -> Fields | None:
        rollout, drive, parallel = self._begun(task)
        rollout.turn_back()
        while batch := rollout.returning(parallel):
            await _move(self.cloud, task, rollout, batch, drive.back, _returned)
        stuck = rollout.of(STUCK)
        if stuck:
            raise TaskFailed(_left(stuck))
        if rollout.nodes:
            await task.write(end_release, task.id, "back", "the upgrade that failed")
        return None

    def _begun(self, task: Task) -> tuple[Rollout, Drive, int]:
        payload = task.payload
        wanted = Wanted(
            prefix=task.state.get("orders", ""),
            tree=payload.get("tree", ""),
            target_hash=task.state.get("target_hash", ""),
            how=payload.get("how", ""),
            canary=payload.get("canary"),
            settle_s=payload.get("settle_s", 0.0),
            who=payload.get("who", ""),
        )
        return Rollout.read(task.state), Drive(self.cloud, wanted), payload.get("parallel", 1)


@define(eq=False)
class _Rollback:
    cloud: Cloud
    database: Any
    token: Token

    async def check(self, task: Task) -> Fields | None:
        release: Release | None = await self.database.read(open_release)
        if release is None:
            raise TaskFailed("there is no upgrade that can be gone back from: the last one is final, or was taken back")
        rollout = Rollout(nodes=going_back(release, await self.cloud.nodes(), self.cloud.lost_s))
        state = {**rollout.fields(), "release": release.id, "orders": self.token()}
        await task.save(state, total=len(rollout.nodes))
        return None

    async def go_back(self, task: Task) -> Fields | None:
        wanted = Wanted(
            prefix=task.state["orders"], tree="", target_hash="", how="", canary=None, settle_s=0.0,
            who=task.payload.get("who", ""),
        )  # fmt: skip
        rollout, drive = Rollout.read(task.state), Drive(self.cloud, wanted)
        rollout.ask_again()
        while batch := rollout.returning(task.payload.get("parallel", 1)):
            await _move(self.cloud, task, rollout, batch, drive.back, _returned)
        left = rollout.of(STUCK, AWAY)
        if left:
            raise TaskFailed(_left(left))
        await task.write(end_release, task.state["release"], "back", task.payload.get("who", ""))
        return {"nodes": states(rollout.nodes)}


def going_back(release: Release, rows: Sequence[Any], lost_s: float) -> list[NodeProgress]:
    """Who has to, in the order in which they were changed, as far as that is known: by name."""
    found = []
    for row in rows:
        before = release.before.get(row.id, "")
        if not before or before == release.new_hash or row.code_hash != release.new_hash:
            continue
        node = NodeProgress(id=row.id, name=row.name, before=before, changed=True)
        node.enter(*((AWAY, "it is lost: it still has the new code") if row.is_lost(lost_s) else (RETURNING,)))
        found.append(node)
    return found


async def _move(
    cloud: Cloud,
    task: Task,
    rollout: Rollout,
    batch: Sequence[NodeProgress],
    bit: Callable[[NodeProgress, Any], Awaitable[None]],
    count: Callable[[Rollout], int],
) -> None:
    """One bit for each node of the batch, saved; then a rest, if none is in another state now."""
    rows = {row.id: row for row in await cloud.nodes()}
    before = [node.state for node in batch]
    try:
        await gatherResults([Deferred.fromCoroutine(_awaited(bit(node, rows))) for node in batch], consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()
    state, figures = {**task.state, **rollout.fields()}, count(rollout)
    if before != [node.state for node in batch]:
        await task.write(tell, task.id, states(rollout.nodes), state=state, progress=figures)
    else:
        await task.save(state, progress=figures)
        await cloud.pause(LOOK_S)


def tell(connection: Connection, task_id: str, nodes: dict[str, str]) -> None:
    """Who follows the cloud's events, in the transaction that saves."""
    data = json.dumps({"task_id": task_id, "nodes": nodes})
    connection.execute(insert(tables.outbox).values(created_us=now_us(), type="upgrade.rolling", data=data))


async def _awaited(waiting: Awaitable[None]) -> None:
    await waiting


def _turns(rollout: Rollout) -> int:
    """How many nodes have had their turn."""
    return rollout.ended


def _returned(rollout: Rollout) -> int:
    return len(rollout.nodes) - len(rollout.of(ORDERED, RETURNING))


def _left(nodes: Sequence[NodeProgress]) -> str:
    causes = "; ".join(f"node {node.name}: {node.cause}" for node in nodes)
    return f"{named(nodes)} still run the new code ({causes}): `cloudctl rollback --rolling` when they can be reached"


def _release(task: Task, plan: RollingPlan) -> Release:
    return Release(
        id=task.id,
        new_hash=plan.target_hash,
        tree=task.payload.get("tree", ""),
        payloads=plan.payloads(),
        before={view.row.id: view.runs for view in plan.nodes if view.runs != plan.target_hash},
        state="open",
        state_s=0.0,
        state_by=task.payload.get("who", ""),
    )
