# -*- test-case-name: tests.objects.test_bulk -*-
"""
Bulk deletion: listed objects and containers of one account, in pages.

A page is done at once; what is longer is a task, which goes on whatever is killed.  Before a page is deleted, what that
will come to is counted and saved, so that who takes over after a kill deletes the rest of it and counts it once.  What
was written after the order stays: whoever ordered may have lost sight of it, and written anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from attrs import define, evolve, field, frozen

from cloudd.tasks import Fields, Form, Kind, Retry, Step, Task
from storage import ContainerNotEmpty, IObjectStore, NoSuchContainer

BULK_DELETE = Form(name="objects.bulk_delete")

PAGE = 500  # objects in one transaction of the index
LONGEST = 800_000  # characters of paths that a task's row takes, which has them in its payload, or as conflicts

_PATIENT = Retry(attempts=20, first_s=1.0, longest_s=60.0)


@frozen(kw_only=True)
class Listed:
    """
    What is to be deleted.

    :ivar objects: container -> names of objects in it, which go first
    :ivar containers: names of containers, which must be empty then
    :ivar until_us: what was modified later stays, microseconds of Unix time; None: nothing stays
    :ivar most_conflicts: end after so many
    """

    account: str
    objects: Mapping[str, Sequence[str]]
    containers: Sequence[str]
    until_us: int | None
    most_conflicts: int

    def payload(self) -> Fields:
        """As a task's row has it."""
        return {
            "account": self.account,
            "objects": {container: list(names) for container, names in self.objects.items()},
            "containers": list(self.containers),
            "until_us": self.until_us,
            "most_conflicts": self.most_conflicts,
        }

    @property
    def is_short(self) -> bool:
        """Whether it is a page."""
        return sum(map(len, self.objects.values())) + len(self.containers) <= PAGE

    def rounds(self) -> Iterator[list[Listed]]:
        """
        What is done one after the other, objects before containers: lists of what may be done at the same time.

        Each is small enough for a task's row.
        """
        objects = [(container, name) for container, names in self.objects.items() for name in names]
        containers = [(name, "") for name in self.containers]
        if len(list(_parts([*objects, *containers]))) == 1:
            yield [self]
            return
        yield [evolve(self, objects=_by_container(part), containers=[]) for part in _parts(objects)]
        yield [evolve(self, objects={}, containers=[name for name, _ in part]) for part in _parts(containers)]

    def is_newer(self, written_us: int) -> bool:
        """Whether what was written then is none of what was meant."""
        return self.until_us is not None and written_us > self.until_us

    def pages(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Containers with names of objects, then containers with none."""
        for container, names in self.objects.items():
            for begin in range(0, len(names), PAGE):
                yield container, names[begin : begin + PAGE]
        for container in self.containers:
            yield container, ()


@define
class Deleted:
    """
    What came of it.

    :ivar conflicts: paths of what was written after the order, and of containers that are not empty
    """

    deleted: int = 0
    not_found: int = 0
    conflicts: list[str] = field(factory=list)


class Saving(Protocol):
    """The part of ``Task`` that this uses; ``state`` is what was saved last."""

    @property
    def state(self) -> Fields: ...

    async def save(self, state: Fields, *, progress: int | None = None, total: int | None = None) -> None: ...


@define
class Unsaved:
    """For what is done within a request."""

    state: Fields = field(factory=dict)

    async def save(self, state: Fields, *, progress: int | None = None, total: int | None = None) -> None:
        self.state = state


def bulk_delete_kind(store: IObjectStore) -> Kind:
    """The kind, on that store."""

    async def delete(task: Task) -> Fields | None:
        return as_fields(await delete_listed(store, Listed(**task.payload), task))

    return Kind(form=BULK_DELETE, steps=(Step("delete", delete),), retry=_PATIENT)


async def delete_listed(store: IObjectStore, listed: Listed, saving: Saving) -> Deleted:
    """
    Delete what is left to be deleted.

    ``saving.state``: ``page``, the number of the next one, with what the ones before it came to; ``counted``: what that
    one will come to, when it is being deleted.
    """
    so_far = Deleted(**saving.state.get("so_far", {}))
    pages = list(listed.pages())
    for number in range(saving.state.get("page", 0), len(pages)):
        if len(so_far.conflicts) >= listed.most_conflicts:
            break
        container, names = pages[number]
        counted = saving.state.get("counted")
        if counted is None:
            counted = as_fields(await _count(store, listed, container, names))
            await saving.save({"page": number, "so_far": as_fields(so_far), "counted": counted}, total=len(pages))
        so_far = _sum(so_far, await _delete(store, listed, container, names, Deleted(**counted)))
        await saving.save({"page": number + 1, "so_far": as_fields(so_far)}, progress=number + 1)
    return so_far


def total(outcomes: Iterable[Deleted]) -> Deleted:
    """Of several, in their order."""
    found = Deleted()
    for outcome in outcomes:
        found = _sum(found, outcome)
    return found


def as_fields(deleted: Deleted) -> Fields:
    """As plain data, a task's result."""
    return {"deleted": deleted.deleted, "not_found": deleted.not_found, "conflicts": list(deleted.conflicts)}


async def _count(store: IObjectStore, listed: Listed, container: str, names: Sequence[str]) -> Deleted:
    """What deleting a page will come to."""
    try:
        if not names:
            facts = await store.container(listed.account, container)
            return Deleted(conflicts=[container]) if listed.is_newer(facts.created_us) else Deleted(deleted=1)
        found = await store.objects_named(listed.account, container, names)
    except NoSuchContainer:
        return Deleted(not_found=len(names) or 1)
    newer = sorted(f"{container}/{each.name}" for each in found if listed.is_newer(each.modified_us))
    return Deleted(len(found) - len(newer), len(names) - len(found), newer)


async def _delete(
    store: IObjectStore, listed: Listed, container: str, names: Sequence[str], counted: Deleted
) -> Deleted:
    """Delete a page; gives what was counted, or what came of a container that is not empty."""
    try:
        if names:
            await store.delete_objects(listed.account, container, names, listed.until_us)
        elif not listed.is_newer((await store.container(listed.account, container)).created_us):
            await store.delete_container(listed.account, container)
    except NoSuchContainer:
        return counted
    except ContainerNotEmpty:
        return Deleted(conflicts=[container])
    return counted


def _sum(one: Deleted, other: Deleted) -> Deleted:
    return Deleted(one.deleted + other.deleted, one.not_found + other.not_found, [*one.conflicts, *other.conflicts])


def _parts(paths: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Containers and names in lists that a row takes."""
    part, length = list[tuple[str, str]](), 0
    for container, name in paths:
        own = len(json.dumps(f"{container}/{name}", ensure_ascii=False)) + 1
        if part and length + own > LONGEST:
            yield part
            part, length = [], 0
        part.append((container, name))
        length += own
    if part:
        yield part


def _by_container(paths: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for container, name in paths:
        found.setdefault(container, []).append(name)
    return found
