"""The objects service: what both faces ask, beside the store's own calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import evolve
from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from cloudd.interfaces.application import PartHealth, Resources, SelfCheckFailed
from cloudd.tasks import Fields, Kind, submit, wait_for_end
from storage import IObjectStore, NoSuchContainer, SpaceFacts

from ._authorization import Action, Asker, allowed_by_list, allowed_by_role
from ._bulk import BULK_DELETE, Deleted, Listed, Unsaved, bulk_delete_kind, delete_listed, total
from ._checksums import warm_up
from ._errors import Forbidden, Unauthorized
from ._names import account_of, check_container_name, project_of
from ._purge import CONTAINER, purge_kinds, submit_account_purge

UPKEEP_S = 60.0
SPACE_S = 5.0
BULK_S = 900.0  # a bulk deletion that is not done then has failed; clients do not wait longer


class Objects:
    """
    One generation's view of the object store.

    :param store: where the faces call the store's own methods, after ``authorize``
    :param own_node: gives the id of the node whose store this is; None: it is the only one
    """

    log = Logger()

    def __init__(
        self, resources: Resources, store: IObjectStore, own_node: Callable[[], Awaitable[str | None]] | None = None
    ) -> None:
        self.store = store
        self._own_node = own_node
        self._resources = resources
        self._space: SpaceFacts | None = None
        self._trouble = ""
        self._timers: list[LoopingCall] = []
        metrics = resources.metrics
        self._keeps_up = resources.role in ("agent", "all")
        self._leads = False
        self._free_bytes = metrics.gauge("cloudd_store_free_bytes", "Bytes free for objects on the store's disk")
        self._orphans = metrics.counter("cloudd_store_orphans_removed", "Files of killed processes that upkeep removed")

    async def authorize(
        self,
        access: Asker | None,
        account: str,
        action: Action,
        container: str | None = None,
        referrer: str = "",
    ) -> None:
        """
        Return if allowed.  Waits only when role and project are not enough and the container must be asked.

        :param access: who asks; None for somebody without a token or signature
        :param container: its name, where the action concerns one
        :param referrer: the ``Referer`` header
        :raises Unauthorized: nobody is logged in; also for a container that does not exist
        :raises Forbidden: also for another's container that does not exist
        """
        if allowed_by_role(access, account, action):
            return
        if container is not None and await self._let_in(access, account, action, container, referrer):
            return
        if access is None:
            raise Unauthorized("authentication is required")
        raise Forbidden(f"you may not {action.value} of {account}")

    def task_kinds(self) -> tuple[Kind, ...]:
        """The long work of this service."""
        return (*purge_kinds(self.store), bulk_delete_kind(self.store))

    async def purge(self, project_id: str, container: str, request_id: str = "", node_id: str | None = None) -> str:
        """
        Have a container deleted with all its objects, by a task; fires when the order is on disk.

        :param node_id: of the node whose store this is; None: it is the only one
        :return: the task's id; that of an open one, where this container is being purged already
        :raises InvalidName:
        :raises storage.NoSuchContainer:
        """
        account = account_of(project_id)
        facts = await self.store.container(account, check_container_name(container))
        payload = {"account": account, "container": container, "created_us": facts.created_us}
        return await self._resources.database.write(
            submit,
            CONTAINER,
            payload,
            project_id=project_id,
            resource=f"{account}/{container}",
            request_id=request_id,
            node_id=node_id,
            once=True,
        )

    async def delete_listed(
        self,
        account: str,
        objects: Mapping[str, Sequence[str]],
        containers: Sequence[str],
        most_conflicts: int,
        request_id: str = "",
    ) -> Deleted:
        """
        Delete what is listed, however many: more than a page by a task, which goes on when this is killed or left.

        :param objects: container -> names of objects in it
        :param containers: which must be empty afterwards
        :param most_conflicts: end after so many
        :raises cloudd.tasks.TaskFailed: the task ended with another outcome
        """
        listed = Listed(
            account=account, objects=objects, containers=containers, until_us=None, most_conflicts=most_conflicts
        )
        if listed.is_short:
            return await delete_listed(self.store, listed, Unsaved())
        listed = evolve(listed, until_us=int(self._resources.reactor.seconds() * 1_000_000))
        facts = {
            "project_id": project_of(account),
            "resource": account,
            "request_id": request_id,
            "node_id": await self._own_node() if self._own_node else None,
            "limit_s": BULK_S,
        }
        reactor, database = self._resources.reactor, self._resources.database
        outcomes = []
        for some in listed.rounds():
            for task_id in await database.write(_submit_all, [each.payload() for each in some], facts):
                outcomes.append(Deleted(**await wait_for_end(reactor, database, task_id)))
        return total(outcomes)

    def project_deleted(self, connection: Connection, project_id: str) -> None:
        """In the transaction that deletes a project: have what it has here deleted, by a task."""
        submit_account_purge(connection, project_id, self._resources.settings.objects.purge_delay_s)

    def start(self, state: Mapping[str, Any]) -> None:
        """Begin to look at the disk space."""
        self._every(SPACE_S, self._measure)

    def lead(self) -> None:
        """In the agent's worker, when this code was decided for: begin the upkeep.  Safe to call again."""
        if self._keeps_up and not self._leads:
            self._leads = True
            self._every(UPKEEP_S, self._keep_up)

    def snapshot(self) -> dict[str, Any]:
        """Nothing here is worth keeping over a swap."""
        return {}

    def retire(self) -> None:
        """Stop the timers; requests in flight go on."""
        for timer in self._timers:
            if timer.running:
                timer.stop()
        self._timers.clear()

    def health(self) -> list[PartHealth]:
        """Whether there is room to write, and the index answers."""
        return [PartHealth("objects", not self._trouble, self._trouble)]

    def self_check(self) -> Deferred[None]:
        """
        Try the checksums and ask the store for its space.

        :raises SelfCheckFailed:
        """
        return Deferred.fromCoroutine(self._self_check())

    async def _self_check(self) -> None:
        try:
            await self._resources.threads.run(warm_up)
            await self.store.space()
        except Exception as error:
            raise SelfCheckFailed("cloudd.objects", str(error) or type(error).__name__) from error

    async def _let_in(self, access: Asker | None, account: str, action: Action, container: str, referrer: str) -> bool:
        try:
            facts = await self.store.container(account, container)
        except NoSuchContainer:
            return False
        return allowed_by_list(access, facts, action, referrer)

    def _every(self, seconds: float, call: Any) -> None:
        timer = LoopingCall(lambda: Deferred.fromCoroutine(call()))
        timer.clock = self._resources.reactor
        self._timers.append(timer)
        # The call catches everything, so the timer ends only by stop().
        timer.start(seconds, now=True).addErrback(lambda failure: self.log.failure("timer ended", failure=failure))

    async def _measure(self) -> None:
        try:
            space = await self.store.space()
        except Exception as error:
            self._trouble = f"the object store does not answer: {error}; see the daemon's log"
            self.log.failure("cannot measure the store's space")
            return
        if self._keeps_up:  # the host's metrics are the sum over its workers: one tells
            self._free_bytes.set(space.free_bytes)
        self._trouble = "" if space.free_bytes > space.reserve_bytes else _full(space)

    async def _keep_up(self) -> None:
        try:
            self._orphans.inc(await self.store.upkeep())
        except Exception:
            self.log.failure("upkeep of the object store failed; it is tried again")


def _submit_all(connection: Connection, payloads: Sequence[Fields], facts: Mapping[str, Any]) -> list[str]:
    return [submit(connection, BULK_DELETE, payload, **facts) for payload in payloads]


def _full(space: SpaceFacts) -> str:
    return (
        f"{space.free_bytes} bytes are free and {space.reserve_bytes} are kept in reserve, so uploads get 507: "
        "delete objects, enlarge the disk, or lower [objects] reserve_bytes"
    )
