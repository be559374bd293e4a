# -*- test-case-name: tests.nodes.test_service -*-
"""Nodes as one part of a generation, with one life."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from cloudd.interfaces.application import PartHealth, Resources, SelfCheckFailed
from cloudd.joining import JoinToken, NodeFolder, fingerprint

from . import _leases, _rows, _tokens
from ._address import Place, place_of
from ._admission import Admission
from ._authority import Authority
from ._certificate import OwnCertificate
from ._duty import Duty, Holder
from ._errors import NodeError
from ._forms import FORMS
from ._pins import Pins
from ._presence import Presence, Work
from ._rows import Node
from ._tls import Credentials
from ._watch import PinWatch

LOOK_S = 2.0  # whether to look at the certificate
MOST_LOOK_S = 30.0
ALONE_LEASE_S = 300.0  # on a file: an idle machine hardly writes
UPKEEP_S = 3_600.0
KEEP_TOKENS_S = 604_800.0
MIN_VALID_S, MAX_VALID_S = 60.0, 604_800.0
DEFAULT_ROLES = ("api", "tasks")
_ROLE = re.compile("[a-z][a-z0-9-]{0,31}")
_LOOPBACK = re.compile(r"localhost|127\..*|::1")

log = Logger()


@define(eq=False)
class Nodes:
    """
    The machines of the cloud, in one worker of one generation.  See the package for an overview.

    The agent's worker says that its node is there, holds duties and answers operators.

    :param work: what stops for a drain
    :param payloads: name of a payload -> versions that this code reads
    """

    _resources: Resources
    _work: Work
    _payloads: Mapping[str, Sequence[int]]
    admission: Admission = field(init=False)
    _authority: Authority = field(init=False)
    _presence: Presence = field(init=False)
    _watch: PinWatch = field(init=False)
    _looking: LoopingCall | None = field(init=False, default=None)
    _certificate: OwnCertificate = field(init=False)
    _place: Place | None = field(init=False, default=None)
    _bad_place: str = field(init=False, default="")
    _duties: list[Duty] = field(init=False, factory=list)
    _led: bool = field(init=False, default=False)
    _looked_at: float = field(init=False, default=-MOST_LOOK_S)  # never; by a clock that may begin at 0
    _timers: list[LoopingCall] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        resources = self._resources
        settings = resources.settings.nodes
        try:
            self._place = place_of(settings)
        except NodeError as error:
            self._bad_place = error.cause
        self._authority = Authority(resources.database, resources.threads, resources.secrets, settings.certificate_s)
        self.admission = Admission(resources, self._authority)
        self._watch = PinWatch(resources.database, settings.lost_s)
        self._certificate = OwnCertificate(resources, self._authority)
        self._presence = Presence(
            resources,
            self._work,
            self._payloads,
            self._place.address if self._place is not None else "",
            lambda: sum(duty.is_held for duty in self._duties),
        )
        self.duty("nodes.upkeep", self._keep_up, UPKEEP_S)

    @property
    def place(self) -> Place | None:
        """Where others shall be let in; None: nowhere."""
        return self._place

    @property
    def credentials(self) -> Credentials | None:
        """This node's certificate, for the next handshake; None: there is none yet."""
        return self._certificate.credentials

    @property
    def pins(self) -> Pins:
        """Which versions may be written and are shown, as of some seconds ago; on a file, alone: all of ours."""
        return self._watch.pins

    def served(self, name: str, ours: Sequence[int]) -> tuple[int, int]:
        """Which versions of an API clients are shown now: see ``Pins.served``."""
        return self.pins.served(name, ours)

    async def read_pins(self) -> Pins:
        """The same, from the database."""
        return await self._watch.read()

    async def rows(self) -> list[Node]:
        """All nodes, removed ones too, by name."""
        found: list[Node] = await self._resources.database.read(_rows.nodes)
        return found

    async def find(self, named: str) -> Node:
        """
        One by name or id.

        :raises NoSuchNode:
        """
        found: Node = await self._resources.database.read(_rows.find, named)
        return found

    async def own_id(self) -> str:
        """The id of this node, also before it has said that it is there."""
        return await self._resources.threads.run(NodeFolder(self._resources.settings.state).node_id)

    def name_of(self, node_id: str) -> str:
        """As of the last beat; the id itself where it is not known."""
        return next((node.name for node in self._presence.nodes if node.id == node_id), node_id)

    def duty(self, name: str, work: Callable[[Holder], Awaitable[None]], every_s: float) -> Duty:
        """
        Have something done by one node for all; before ``lead``.

        :param work: see ``Duty``
        :param every_s: from its end to its next beginning
        """
        settings = self._resources.settings
        lease_s = settings.nodes.lease_s if settings.database.url else ALONE_LEASE_S
        owner = f"{socket.gethostname()} process {os.getpid()} generation {self._resources.generation}"
        duty = Duty(
            name, self._resources.reactor, self._resources.database, owner[:128], lease_s, work, every_s, time.monotonic
        )
        duty.willing = False  # until the first beat says that we may
        self._duties.append(duty)
        return duty

    # ---- operators

    def calls(self) -> dict[str, Callable[..., Awaitable[dict[str, Any]]]]:
        """What operators may ask: functions of keyword arguments that give plain data or raise ``NodeError``."""
        return {
            "nodes.list": self._list,
            "nodes.show": self._show,
            "nodes.token": self._token,
            "nodes.drain": self._drain,
            "nodes.return": self._return,
            "nodes.remove": self._remove,
        }

    async def _list(self) -> dict[str, Any]:
        await self._beat()
        nodes = await self._resources.database.read(_rows.nodes)
        names = {node.id: node.name for node in nodes}
        duties = await self._resources.database.read(_leases.duties)
        told = [
            {"name": duty.name, "node": names.get(duty.node_id, ""), "owner": duty.owner, "ends_s": duty.ends_s}
            for duty in duties
        ]
        return {"nodes": [self._plain(node) for node in nodes], "duties": told}

    async def _show(self, node: str) -> dict[str, Any]:
        await self._beat()
        return self._plain(await self._resources.database.read(_rows.find, node))

    async def _token(self, who: str, roles: Sequence[str] = (), valid_s: float = 3_600.0) -> dict[str, Any]:
        place, database = self._place, self._resources.settings.database
        wanted = tuple(dict.fromkeys(roles)) or DEFAULT_ROLES
        if place is None:
            raise NodeError(self._bad_place or "nobody can join here: set [nodes] listen and start the daemon again")
        if not place.address:
            raise NodeError("where others reach this node is not known: set [nodes] address")
        if not database.url:
            raise NodeError(
                "the control database is a file of this machine, which no other one can use: move it to PostgreSQL "
                "first (docs/database.md)"
            )
        if _is_local(database.url) and not _LOOPBACK.fullmatch(place.host):
            raise NodeError("[database] url names this machine as others cannot reach it: name its host in there")
        broker = self._resources.settings.messaging.url
        if broker and all(map(_is_local, broker.split())) and not _LOOPBACK.fullmatch(place.host):
            raise NodeError("[messaging] url names this machine as others cannot reach it: name its host in there")
        if not all(_ROLE.fullmatch(role) for role in wanted):
            raise NodeError("a role is a word of small letters, digits and dashes")
        if not MIN_VALID_S <= valid_s <= MAX_VALID_S:
            raise NodeError(f"a token is valid for {MIN_VALID_S:.0f} s to {MAX_VALID_S / 86_400:.0f} days")
        authority = await self._authority.certificate()
        token_id, secret = await self._resources.database.write(_tokens.make, wanted, valid_s, who)
        log.info("{who} has made a token for a node", who=who, roles=wanted, token_id=token_id)
        token = JoinToken(place.address, fingerprint(authority), token_id, secret)
        return {"token": token.text(), "roles": list(wanted), "valid_s": valid_s, "address": place.address}

    async def _drain(self, node: str, who: str) -> dict[str, Any]:
        return await self._changed(_rows.drain, node, who)

    async def _return(self, node: str, who: str) -> dict[str, Any]:
        return await self._changed(_rows.give_back, node, who)

    async def _remove(self, node: str, who: str, force: bool = False) -> dict[str, Any]:
        lost_s, removed = self._resources.settings.nodes.lost_s, self._work.node_removed
        return await self._changed(_rows.remove, node, who, lost_s, removed, force=force)

    async def _changed(self, function: Callable[..., Node], node: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        changed: Node = await self._resources.database.write(function, node, *args, **kwargs)
        log.info("{who} has changed node {name}: {state}", who=args[0], name=changed.name, state=changed.state)
        if self._presence.node is not None and changed.id == self._presence.node.id:
            await self._beat()  # follow at once
            changed = await self._resources.database.read(_rows.find, changed.id)
        return self._plain(changed)

    def _plain(self, node: Node) -> dict[str, Any]:
        own = self._presence.node
        return {
            "id": node.id,
            "name": node.name,
            "roles": list(node.roles),
            "address": node.address,
            "state": node.shown_state(self._resources.settings.nodes.lost_s),
            "silent": node.is_silent and node.state != "removed",
            "state_s": node.state_s,
            "state_by": node.state_by,
            "version": node.version,
            "hash": node.code_hash,
            "generation": node.generation,
            "payloads": {name: list(versions) for name, versions in node.payloads.items()},
            "load": dict(node.load),
            "age_s": node.age_s,
            "certificate": node.certificate,
            "created": node.created,
            "own": own is not None and own.id == node.id,
        }

    # ---- life

    async def self_check(self) -> None:
        """
        Read the tables.

        :raises SelfCheckFailed:
        """
        try:
            await self._resources.database.read(_rows.nodes)
            await self._resources.database.read(_leases.duties)
        except Exception as error:
            raise SelfCheckFailed("cloudd.nodes", str(error) or type(error).__name__) from error

    def start(self, state: Mapping[str, Any]) -> None:
        """Look at the other nodes.  Nothing more: code that only tries itself does not speak for its node."""
        if self._resources.settings.database.url and not self._leads:  # the agent's looks at each beat
            self._looking = self._timer(self._resources.settings.nodes.heartbeat_s, self._watch.look)

    def lead(self, on_trial: bool = False) -> None:
        """
        In the agent's worker: say that the node is there, keep its certificate, do duties.  Safe to call again.

        :param on_trial: as code in a canary: find out whether this node works, and say nothing
        """
        if not self._leads or self._led or (on_trial and self._timers):
            return
        self._stop_timers()
        self._work.take("", shared=False)  # until the registry has said that this node works
        if on_trial:
            self._every(self._presence.beat_s, self._follow)
            return
        self._led = True
        self._every(self._presence.beat_s, self._beat)
        self._every(LOOK_S, self._look)
        for duty in self._duties:
            duty.start()

    def snapshot(self) -> dict[str, Any]:
        """Nothing: all is in the database."""
        return {}

    def retire(self) -> None:
        """Say nothing more.  The kernel waits for ``rest`` before it lets go of this generation."""
        self._stop_timers()
        if self._looking is not None and self._looking.running:
            self._looking.stop()
        self.rest()

    def rest(self) -> Deferred[None]:
        """Give all duties back; fires when nothing is done here any more."""
        resting: Deferred[Any] = gatherResults([duty.rest() for duty in self._duties])
        return resting.addCallback(lambda _: None)

    @property
    def _leads(self) -> bool:
        return self._resources.role in ("agent", "all")

    def health(self) -> list[PartHealth]:
        """
        Of the agent's worker: that which is wrong with this node fails; others that are silent are told.

        That another machine is down is no reason for this one to be taken out of service.
        """
        if not self._leads:
            return []
        own = self._presence.node
        trouble = self._bad_place or self._presence.cause or self._certificate.cause
        if own is not None and own.state == "removed":
            trouble = f"this node was removed from the cloud ({own.state_by}): stop it, or let it join again"
        return [PartHealth("nodes", not trouble, trouble or _told(own, self._presence.nodes))]

    async def _beat(self) -> None:
        presence = self._presence
        try:
            await presence.say()
            await self._watch.look()
            self._pin_messages()
            presence.cause = ""
        except Exception as error:
            presence.cause = f"the node's registry cannot be written: {error}; it is tried again"
            log.warn("{cause}", cause=presence.cause)
        for duty in self._duties:
            duty.node_id = presence.node.id if presence.node is not None else ""
            duty.willing = presence.works

    def _pin_messages(self) -> None:
        """Questions go out in a version that all read; those of this generation, which names their forms."""
        if (bus := self._resources.bus) is None:
            return
        for form in FORMS:
            bus.pin(form.name, self.pins.emits(form.name, form.emits, form.readable))

    async def _follow(self) -> None:
        try:
            await self._presence.watch()
            await self._watch.look()
        except Exception as error:
            log.warn("whether this node works is not known; it is asked again: {cause}", cause=str(error))

    async def _look(self) -> None:
        found, now = self._certificate.credentials, time.monotonic()
        if now < self._looked_at + (MOST_LOOK_S if found is None else min(MOST_LOOK_S, found.lasts_s / 20)):
            return
        try:
            if self._presence.node is None:
                await self._beat()
            node = self._presence.node
            if node is not None:
                others = [each for each in self._presence.nodes if each.id != node.id]
                await self._certificate.look(node, others, needed=self._place is not None)
                self._looked_at = now
        except Exception as error:
            log.warn("the node's certificate cannot be looked at; it is tried again: {cause}", cause=str(error))

    async def _keep_up(self, holder: Holder) -> None:
        await holder.write(_tokens.forget, KEEP_TOKENS_S)

    def _stop_timers(self) -> None:
        for timer in self._timers:
            if timer.running:
                timer.stop()
        self._timers.clear()

    def _every(self, seconds: float, work: Callable[[], Any]) -> None:
        self._timers.append(self._timer(seconds, work))

    def _timer(self, seconds: float, work: Callable[[], Any]) -> LoopingCall:
        timer = LoopingCall(lambda: Deferred.fromCoroutine(work()))
        timer.clock = self._resources.reactor
        # The calls catch everything, so the timer ends only by stop().
        timer.start(seconds, now=True).addErrback(lambda failure: log.failure("a timer of nodes ended", failure))
        return timer


def _is_local(url: str) -> bool:
    """Whether every host of a database's URL means the machine that reads it."""
    hosts = urlsplit(url).netloc.rpartition("@")[2].split(",")
    return all(_LOOPBACK.fullmatch(host.rpartition(":")[0].strip("[]") or host or "localhost") for host in hosts)


def _told(own: Node | None, nodes: Sequence[Node]) -> str:
    """A sentence on who is silent, and since when, or that this node is drained; empty: nothing is to be told."""
    own_state = f"this node is {own.state} ({own.state_by})" if own is not None and own.state != "ready" else ""
    silent = [
        f"{node.name} ({node.state}) " + ("never" if node.age_s is None else f"for {node.age_s:.0f} s not")
        for node in nodes
        if node.is_silent and (own is None or node.id != own.id)
    ]
    others = f"said nothing: {', '.join(silent)}: see `cloudctl node list`" if silent else ""
    return "; ".join(filter(None, [own_state, others]))
