# -*- test-case-name: tests.objects.test_purge -*-
"""
Purges: a container, or all of an account, deleted with everything in it, as tasks.

Objects go in pages.  Before a page is deleted its last name and its length are saved, so that who takes over after a
kill deletes the rest of the same page and counts it once.  A purge deletes what it finds, also what is written while it
runs; a container that was deleted and made again since the order is another one and stays.
"""

from __future__ import annotations

from attrs import frozen
from sqlalchemy import Connection

from cloudd.tasks import Fields, Form, Kind, Retry, Step, Task, submit_on_each_node
from storage import ContainerNotEmpty, IObjectStore, Listing, NoSuchContainer, ObjectFacts

from ._names import account_of

CONTAINER = Form(name="objects.purge_container")
ACCOUNT = Form(name="objects.purge_account")

PAGE = 500  # objects in one transaction of the index
ROUNDS = 20  # a container that fills as fast as it is emptied is left for the next attempt

_PATIENT = Retry(attempts=20, first_s=1.0, longest_s=60.0)


class StillFilled(Exception):
    """Others write to the container as fast as it is emptied."""


def purge_kinds(store: IObjectStore) -> tuple[Kind, ...]:
    """Both kinds, on that store."""
    purge = _Purge(store)
    return (
        Kind(
            form=CONTAINER, steps=(Step("objects", purge.objects), Step("container", purge.container)), retry=_PATIENT
        ),
        Kind(form=ACCOUNT, steps=(Step("containers", purge.containers),), retry=_PATIENT),
    )


def submit_account_purge(connection: Connection, project_id: str, delay_s: float = 0.0) -> None:
    """
    In the transaction that deletes a project: have its containers and objects deleted, too, after a while.

    Each node has a store of its own, so each deletes what it has.
    """
    account = account_of(project_id)
    facts = {"project_id": project_id, "resource": account, "delay_s": delay_s, "once": True}
    submit_on_each_node(connection, ACCOUNT, {"account": account}, **facts)


@frozen
class _Purge:
    """The steps.  ``state``: ``deleted`` objects; ``count`` and ``last`` of the page that is being deleted."""

    store: IObjectStore

    async def objects(self, task: Task) -> Fields | None:
        """Delete all objects."""
        account, container = task.payload["account"], task.payload["container"]
        if (left := await self._meant(task, container)) is not None:
            await self._empty(task, account, container, _deleted(task) + left)
        return None

    async def container(self, task: Task) -> Fields | None:
        """Delete the container, and what has come into it meanwhile."""
        container = task.payload["container"]
        if (left := await self._meant(task, container)) is not None:
            await self._remove(task, task.payload["account"], container, _deleted(task) + left)
        return {"deleted": _deleted(task)}

    async def containers(self, task: Task) -> Fields | None:
        """Delete all containers of an account with all their objects."""
        account = task.payload["account"]
        total = _deleted(task) + (await self.store.account(account)).object_count
        while page := await self.store.containers(account, Listing(limit=PAGE)):
            for container in page:
                await self._remove(task, account, container.name, total)
        return {"deleted": _deleted(task)}

    async def _meant(self, task: Task, container: str) -> int | None:
        """How many objects are in the container; None: it is gone, or another one than that which was ordered."""
        try:
            facts = await self.store.container(task.payload["account"], container)
        except NoSuchContainer:
            return None
        return facts.object_count if facts.created_us == task.payload.get("created_us", facts.created_us) else None

    async def _remove(self, task: Task, account: str, container: str, total: int) -> None:
        for _ in range(ROUNDS):
            await self._empty(task, account, container, total)
            try:
                await self.store.delete_container(account, container)
            except NoSuchContainer:
                return
            except ContainerNotEmpty:
                continue
            return
        raise StillFilled(f"{container} fills as fast as it is emptied")

    async def _empty(self, task: Task, account: str, container: str, total: int) -> None:
        try:
            await self._finish_page(task, account, container)
            while page := await self._page(account, container, PAGE):
                state = {"container": container, "count": len(page), "last": page[-1]}
                await task.save({"deleted": _deleted(task), **state}, total=total)
                await self._finish_page(task, account, container)
        except NoSuchContainer:
            await self._count_page(task)

    async def _finish_page(self, task: Task, account: str, container: str) -> None:
        """Delete what is left of the page that was saved."""
        if task.state.get("container") != container:
            await self._count_page(task)  # of a container that had gone before its page was counted
            return
        last, count = task.state["last"], task.state["count"]
        names = [name for name in await self._page(account, container, count) if name <= last]
        if names:
            await self.store.delete_objects(account, container, names)
        await self._count_page(task)

    async def _count_page(self, task: Task) -> None:
        if "count" in task.state:
            deleted = _deleted(task) + task.state["count"]
            await task.save({"deleted": deleted}, progress=deleted)

    async def _page(self, account: str, container: str, limit: int) -> list[str]:
        found = await self.store.objects(account, container, Listing(limit=limit))
        return [each.name for each in found if isinstance(each, ObjectFacts)]


def _deleted(task: Task) -> int:
    """Objects that were deleted and counted."""
    count: int = task.state.get("deleted", 0)
    return count
