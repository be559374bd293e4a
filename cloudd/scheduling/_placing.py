# -*- test-case-name: tests.scheduling.test_placing -*-
"""
Servers get hosts: one transaction that decides, looks whether it is still so, and writes claims and orders.

A decision is made on what the picture told a moment ago.  Then the hosts that were chosen are read again, and asked the
same conditions; writes are one after another in the whole cloud, so what is found stays so until the commit.  A host
that will not do any more is put right in the picture, and it is decided again.

Nobody is refused on an old picture: whoever gets no host by it is ``unsure``, and the caller reads all hosts and asks
again.  They are not read in the transaction: at ten thousand hosts nobody else could write meanwhile.

A server that has a claim keeps it; one that is deleted, or about to be, is passed over; so the same servers may be
placed again after whatever has happened.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

from attrs import define, field, frozen
from sqlalchemy import Connection, bindparam, update

from cloudd.compute import (
    BUILD,
    EVENT_ERROR,
    Claim,
    Doing,
    Server,
    State,
    Wanted,
    claims_of,
    fail,
    note_event,
    read_servers,
    write_claims,
)
from cloudd.database import now_us, tables
from cloudd.interfaces.scheduling import HostPicture, Placement
from cloudd.tasks import Fields, submit

from ._asked import placements
from ._decision import Rules, decide
from ._picture import read_hosts
from ._refusal import Refusal, refusal

EVENT: Final = "conductor_schedule_and_build_instances"  # as history calls it, in Nova's words
ROUNDS = 10  # in one transaction, each after hosts were found changed
_table = tables.server
_MOVED = update(_table).where(_table.c.id == bindparam("server")).values(
    node_id=bindparam("its_node"), host=bindparam("its_name"), task_state=Doing.SPAWNING.value, updated_us=now_us()
)  # fmt: skip


@frozen
class Order:
    """
    What a task was ordered to do.

    :ivar avoid: ids of nodes
    :ivar tries: how many times it was tried elsewhere before, and ``cause`` why it failed there last
    :ivar told: what tenants may know of that, and can do; empty: nothing
    """

    request_id: str
    avoid: tuple[str, ...] = ()
    tries: int = 0
    cause: str = ""
    told: str = ""

    def for_tenants(self, message: str) -> str:
        """What who has a server that gets no host reads of it."""
        return f"{message} It had one that could not run it. {self.told}" if self.told else message

    def with_history(self, details: str) -> str:
        """What administrators read of a server that gets no host."""
        before = f"it could not be started on {len(self.avoid)} hosts before, at last: {self.cause}"
        return f"{details}\n{before}" if self.cause else details

    def build(self, server_id: str) -> Fields:
        """Payload of the task that builds a server."""
        return {"server_id": server_id, "avoid": list(self.avoid), "tries": self.tries}


@frozen
class Placed:
    """
    What came of it.

    :ivar hosts: id of a server -> its host's name
    :ivar refused: those that no host will have, and why
    :ivar waiting: those that may have one in some seconds; nothing was written of them, nor of those
    :ivar unsure: ids of servers that got none by this picture
    :ivar seen: hosts as they are now, for the picture
    """

    hosts: dict[str, str] = field(factory=dict)
    refused: dict[str, Refusal] = field(factory=dict)
    waiting: dict[str, Refusal] = field(factory=dict)
    unsure: list[str] = field(factory=list)
    seen: list[HostPicture] = field(factory=list)


def place(
    connection: Connection,
    server_ids: Sequence[str],
    hosts: Sequence[HostPicture],
    rules: Rules,
    order: Order,
    sure: bool = False,
    patient: bool = False,
) -> Placed:
    """
    :param server_ids: at most some hundreds
    :param hosts: the picture
    :param sure: it was read after the servers were ordered
    :param patient: do not refuse what may be otherwise soon
    """
    board, placed = _Board(connection, rules, {host.node_id: host for host in hosts}), Placed()
    for placement, servers in placements(connection, placeable(connection, server_ids), order.avoid):
        refused = board.place(placement, servers)
        left = [each.id for each in servers if each.id not in board.chosen]
        if refused is None or not sure:
            placed.unsure.extend(left)
        else:
            (placed.waiting if patient and refused.may_pass else placed.refused).update(dict.fromkeys(left, refused))
        _write(connection, placement, [each for each in servers if each.id in board.chosen], board.chosen, order)
    for server_id, refused in placed.refused.items():
        message, details = order.for_tenants(refused.message), order.with_history(refused.details)
        refuse(connection, server_id, order.request_id, message, details)
    placed.hosts.update({server_id: host.name for server_id, host in board.chosen.items()})
    placed.seen.extend(board.seen.values())
    return placed


def placeable(connection: Connection, server_ids: Sequence[str]) -> list[Server]:
    """Those of them that want a host and have none."""
    held = {each.server_id for each in claims_of(connection, server_ids)}
    return [each for each in read_servers(connection, server_ids) if each.id not in held and _wants_host(each)]


def refuse(connection: Connection, server_id: str, request_id: str, message: str, details: str) -> None:
    """
    The server gets no host: it is in error, and can be deleted.

    :param request_id: of the action in its history that is told so
    """
    fail(connection, server_id, 500, message, details, node_id=None, host="")
    note_event(connection, server_id, request_id, EVENT, result=EVENT_ERROR, details=details)


def _wants_host(server: Server) -> bool:
    if server.deleted_us is not None or server.wanted is Wanted.DELETED or server.doing is Doing.DELETING:
        return False
    return server.state is State.BUILDING


@define(eq=False)
class _Board:
    """
    Hosts while servers are placed.

    :ivar seen: those that were read in this transaction, as they are after what it has placed
    :ivar chosen: id of a server -> its host
    """

    _connection: Connection
    _rules: Rules
    _hosts: dict[str, HostPicture]
    seen: dict[str, HostPicture] = field(init=False, factory=dict)
    chosen: dict[str, HostPicture] = field(init=False, factory=dict)

    def place(self, placement: Placement, servers: Sequence[Server]) -> Refusal | None:
        """
        Choose for all of them.

        :return: why some got nothing; None: each got one, or hosts change faster than can be decided
        """
        left = list(servers)
        for _ in range(ROUNDS):
            decision = decide(self._rotated(left[0].id), placement, len(left), self._rules)
            beyond = len(left) - len(decision.hosts)
            placement, left = self._keep(decision.hosts, placement, left)
            if not left:
                return None
            if len(left) == beyond:  # all that was decided is so
                return refusal(decision, placement, self._rules)
        return None

    def _keep(
        self, hosts: Sequence[HostPicture], placement: Placement, servers: Sequence[Server]
    ) -> tuple[Placement, list[Server]]:
        """Give each server its host, if that still will do; the placement afterwards, and who has none."""
        self._look(hosts)
        left = list(servers[len(hosts) :])
        for server, host in zip(servers, hosts, strict=False):
            present = self._hosts.get(host.node_id)
            if present is None or self._rules.cause(present, placement)[0]:
                left.append(server)
                continue
            after = present.less(placement.need)
            self.chosen[server.id] = self._hosts[host.node_id] = self.seen[host.node_id] = after
            placement = placement.with_one_more(host.node_id)
        return placement, left

    def _look(self, hosts: Sequence[HostPicture]) -> None:
        """Read those that were not yet."""
        wanted = {host.node_id for host in hosts} - set(self.seen)
        if not wanted:
            return
        found = {host.node_id: host for host in read_hosts(self._connection, sorted(wanted))}
        for node_id in wanted:
            self._hosts.pop(node_id, None)
        self._hosts.update(found)
        self.seen.update(found)

    def _rotated(self, server_id: str) -> list[HostPicture]:
        """Requests begin at different hosts: among equal ones the first is taken."""
        hosts = list(self._hosts.values())
        start = zlib.crc32(server_id.encode()) % len(hosts) if hosts else 0
        return hosts[start:] + hosts[:start]


def _write(
    connection: Connection,
    placement: Placement,
    servers: Sequence[Server],
    chosen: dict[str, HostPicture],
    order: Order,
) -> None:
    """Claims, where the servers are, and the tasks that build them."""
    if not servers:
        return
    write_claims(connection, [Claim(each.id, chosen[each.id].node_id, placement.need) for each in servers])
    connection.execute(
        _MOVED, [{"server": s.id, "its_node": chosen[s.id].node_id, "its_name": chosen[s.id].name} for s in servers]
    )
    for each in servers:
        submit(
            connection,
            BUILD,
            order.build(each.id),
            project_id=each.project_id,
            node_id=chosen[each.id].node_id,
            resource=each.id,
            request_id=order.request_id,
        )
