# -*- test-case-name: tests.daemon.test_orders -*-
"""
Orders that other nodes give: see ``cloudd.interfaces.orders``.  Carried out here, by the anchor, as ``cloudctl``'s are.

``STATE/orders.json`` has the latest of them.  An order is in there before it is begun, so that nobody begins it twice;
one that stands there as running when an anchor starts was cut off, by a kill or by the anchor's becoming other code in
the very moment of its end.  Then the record of the committed code says what became of it, as of any change.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from attrs import define, field
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from cloudd.control import Actor, How, Listener, Outcome, Percent, Progress, plain
from cloudd.interfaces.application import Threads
from cloudd.interfaces.orders import NoSuchOrder, OrderAction, OrderRefused

from ._audit import sync_folder
from ._upgrade import Upgrades

FILE_NAME = "orders.json"
KEPT = 100
MAX_FILE_BYTES = 4_194_304
MAX_WARNINGS = 20
WITHDRAWN = "it was withdrawn before it came here"
NOT_WRITTEN = "the order cannot be written down: see the daemon's log"

Words = Annotated[str, msgspec.Meta(max_length=255)]


class Way(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To which code, and how."""

    tree: Annotated[str, msgspec.Meta(max_length=4_096)] = ""
    how: How = ""
    canary: Percent | None = None


class Asked(Way, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order as it comes: the fields of ``cloudd.interfaces.orders.Order``."""

    id: Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9_.-]{0,63}\Z")]
    expected_hash: Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{64})?\Z")] = ""
    who: Words = ""


class Kept(msgspec.Struct, kw_only=True):
    """
    One order, as it is written down: what was asked, and the fields of ``cloudd.interfaces.orders.OrderStatus``.

    :ivar sender: name of the node that has given it
    :ivar withdrawn: before it came here, if it ever does: of ``asked`` the id alone is known
    """

    action: OrderAction
    asked: Asked
    sender: str
    state: Literal["running", "ended"] = "running"
    result: str = ""
    cause: str = ""
    began: float = 0.0
    ended: float = 0.0
    old_hash: str = ""
    new_hash: str = ""
    generation: int = 0
    how: str = ""
    warnings: list[str] = []
    withdrawn: bool = False

    def told(self, progress: Progress | None) -> dict[str, Any]:
        """As plain data, with the step that it is at."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        del found["sender"], found["withdrawn"]
        found["id"] = found.pop("asked")["id"]
        if progress is not None and self.state == "running":
            found.update(step=progress.step, text=progress.text, done=progress.done, total=progress.total)
        return found


Said = TypeVar("Said", bound=Way)

_decoder = msgspec.json.Decoder(list[Kept])


@define(eq=False)
class Orders:
    """
    :param folder: the state folder
    :param now: seconds since the epoch
    """

    _upgrades: Upgrades
    _folder: Path
    _threads: Threads
    _now: Callable[[], float]
    _kept: dict[str, Kept] = field(init=False, factory=dict)
    _progress: dict[str, Progress] = field(init=False, factory=dict)  # of those that run
    _settled: bool = field(init=False, default=False)
    _waiting: list[Deferred[None]] = field(init=False, factory=list)  # who came before that
    _writing: DeferredLock = field(init=False, factory=DeferredLock)

    log = Logger()

    def callees(self) -> dict[str, Callable[..., Any]]:
        """What a worker may call."""
        return {
            "order_plan": self._plan,
            "order_begin": self._begin,
            "order_status": self._status,
            "order_withdraw": self._withdraw,
        }

    async def settle(self) -> None:
        """At the anchor's start, when it is known which code serves: read what there is, end what was cut off."""
        try:
            kept = await self._threads.run(_read, self._folder / FILE_NAME)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # Without it an order could be done again, but refusing all for good would help nobody.
            self.log.error("the orders of other nodes cannot be read, they are forgotten: {error}", error=str(error))
            kept = []
        self._kept = {each.asked.id: each for each in kept}
        cut_off = [each for each in kept if each.state == "running"]
        for each in cut_off:
            self._cut_off(each)
        if cut_off:
            await self._write()
        self._settled = True
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    def _cut_off(self, order: Kept) -> None:
        committed = self._upgrades.committed
        order.state, order.ended = "ended", self._now()
        order.generation = committed.generation
        if committed.hash != order.old_hash and committed.hash == (order.asked.expected_hash or committed.hash):
            order.result, order.new_hash = "committed", committed.hash
            order.warnings = ["the daemon's anchor ended before it could say so"]
        else:
            order.result = "failed"
            order.cause = "the daemon's anchor ended in the middle of it, before anything was decided"

    async def _be_settled(self) -> None:
        if not self._settled:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting

    # ---- what comes

    async def _plan(self, **asked: Any) -> Any:
        """
        :raises OrderRefused: see there
        """
        wanted = _understood(asked, Way)
        return plain(await self._upgrades.plan(wanted.tree, wanted.how, wanted.canary))

    async def _begin(self, action: OrderAction, order: Mapping[str, Any], sender: str) -> dict[str, Any]:
        """
        :raises OrderRefused: see there
        """
        asked = _understood(order, Asked)
        await self._be_settled()
        known = self._kept.get(asked.id)
        if known is None:
            self.log.info("node {sender}: {action} by order {id}", sender=sender[:255], action=action, id=asked.id)
        else:
            if not known.withdrawn and (known.action, known.asked) != (action, asked):
                raise OrderRefused(f"{asked.id} is the id of another order")
            return self._told(known)
        self._check(action, asked)
        committed = self._upgrades.committed
        kept = self._kept[asked.id] = Kept(
            action=action, asked=asked, sender=sender[:255], began=self._now(), old_hash=committed.hash
        )
        self._forget()
        if not await self._write():
            del self._kept[asked.id]
            raise OrderRefused(NOT_WRITTEN)
        Deferred.fromCoroutine(self._carry_out(kept)).addErrback(
            lambda failure: self.log.failure("order {order_id}", failure, order_id=asked.id)
        )
        return self._told(kept)

    def _check(self, action: OrderAction, asked: Asked) -> None:
        progress = self._upgrades.progress
        # A rollback ends the supervision of a hand-over.
        if progress is not None and not (action == "rollback" and progress.step == "supervise"):
            raise OrderRefused(f"another change is under way: {progress.step}: {progress.text}")
        if any(each.state == "running" and each.action == action for each in self._kept.values()):
            raise OrderRefused("another order is under way")
        previous = self._upgrades.committed.previous
        if action == "rollback" and asked.expected_hash and asked.expected_hash != previous:
            raise OrderRefused(f"a rollback would load {previous[:12] or 'nothing'}, not {asked.expected_hash[:12]}")

    async def _status(self, order_id: str) -> dict[str, Any]:
        """
        :raises NoSuchOrder: see there
        """
        await self._be_settled()
        known = self._kept.get(order_id)
        if known is None:
            raise NoSuchOrder(f"no order {order_id[:64]} is known here")
        return self._told(known)

    async def _withdraw(self, order_id: str) -> dict[str, Any]:
        """
        :raises OrderRefused: it is no id, or cannot be written down
        """
        asked = _understood({"id": order_id}, Asked)
        await self._be_settled()
        if asked.id not in self._kept:
            now = self._now()
            self._kept[asked.id] = Kept(
                action="upgrade", asked=asked, sender="", state="ended", result="refused", cause=WITHDRAWN,
                began=now, ended=now, withdrawn=True,
            )  # fmt: skip
            self._forget()
            if not await self._write():
                del self._kept[asked.id]
                raise OrderRefused(NOT_WRITTEN)
        return self._told(self._kept[asked.id])

    def _told(self, order: Kept) -> dict[str, Any]:
        return order.told(self._progress.get(order.asked.id))

    # ---- what becomes of it

    async def _carry_out(self, order: Kept) -> None:
        asked, own = order.asked, os.getpid()
        origin = f"order {asked.id} over messaging from node {order.sender}"
        actor = Actor(uid=os.geteuid(), pid=own, user=asked.who or order.sender, origin=origin)
        listener: Listener = partial(self._progress.__setitem__, asked.id)
        try:
            if order.action == "rollback":
                outcome = await self._upgrades.rollback(actor, listener)
            else:
                outcome = await self._upgrades.upgrade(
                    asked.tree, asked.expected_hash, actor, listener, asked.canary, asked.how
                )
        except Exception as error:
            self.log.failure("order {order_id}", order_id=asked.id)
            outcome = Outcome(action=order.action, result="failed", cause=f"{type(error).__name__}: {error}")
        self._end(order, outcome)
        await self._write()

    def _end(self, order: Kept, outcome: Outcome) -> None:
        self._progress.pop(order.asked.id, None)
        order.state, order.ended = "ended", self._now()
        order.result, order.cause, order.how = outcome.result, outcome.cause, outcome.how
        order.old_hash, order.new_hash = outcome.old_hash or order.old_hash, outcome.new_hash
        order.generation, order.warnings = outcome.generation, outcome.warnings[:MAX_WARNINGS]

    def _forget(self) -> None:
        """The oldest that have ended."""
        ended = sorted((each for each in self._kept.values() if each.state == "ended"), key=lambda each: each.ended)
        for each in ended[: max(0, len(self._kept) - KEPT)]:
            del self._kept[each.asked.id]

    async def _write(self) -> bool:
        """Whether all is on disk; a failure is logged."""
        await self._writing.acquire()  # else an older state could be written last
        try:
            data = msgspec.json.encode(list(self._kept.values()))
            await self._threads.run(_replace, self._folder / FILE_NAME, data)
        except OSError:
            self.log.failure("orders of other nodes cannot be written down")
            return False
        finally:
            self._writing.release()
        return True


def _understood(said: Mapping[str, Any], kind: type[Said]) -> Said:
    """
    :raises OrderRefused: it is something else
    """
    try:
        return msgspec.convert(said, kind)
    except msgspec.ValidationError as error:
        raise OrderRefused(f"this is no order: {error}") from None


def _read(file: Path) -> list[Kept]:
    try:
        with file.open("rb") as opened:
            return _decoder.decode(opened.read(MAX_FILE_BYTES))
    except FileNotFoundError:
        return []


def _replace(file: Path, data: bytes) -> None:
    """A file as a whole, on disk."""
    work = file.with_name(f".{file.name}.{os.urandom(6).hex()}.new")
    try:
        with open(os.open(work, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        work.replace(file)
    finally:
        work.unlink(missing_ok=True)
    sync_folder(file.parent)
