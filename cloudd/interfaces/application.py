"""
Between the kernel and a generation: what each gives the other.

The kernel (``reload``, ``cloudd.interfaces``, ``cloudd.daemon``, ``cloudd.database``, ``cloudd.messaging``,
``cloudd.protocols.http``) lives as long as its process.  A generation is one loaded copy of everything else.  The
kernel loads it, calls ``cloudd.application.build(resources)`` in it, in a thread, and gets an ``IApplication``;
requests that begin afterwards go there.  A generation borrows what is in ``Resources`` and never opens such things
itself, so that nothing is lost when it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from attrs import field, frozen
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from .orders import OrderAction
from .settings import Settings

if TYPE_CHECKING:
    from cloudd.messaging import Bus
    from reload import States

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


class Threads(Protocol):
    """The worker's bounded thread pool for disk and hashing."""

    def run(
        self, function: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Deferred[Result]:
        """Call ``function`` in a thread; fires in the reactor thread with its result or failure."""


class Transactions(Protocol):
    """
    One database, reached from the reactor; the functions run in threads and get an open connection.

    For the control database that is a ``sqlalchemy.Connection``, for the object index a ``sqlite3.Connection``.
    """

    def read(
        self,
        function: Callable[Concatenate[Any, Arguments], Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Deferred[Result]:
        """Run ``function(connection, *args)`` on a consistent snapshot; it must not write."""

    def write(
        self,
        function: Callable[Concatenate[Any, Arguments], Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Deferred[Result]:
        """
        Run ``function(connection, *args)`` as one transaction, by itself or inside a group commit.

        Fires when the commit is on disk.  If ``function`` raises, its changes alone are undone and the
        Deferred fails with what it raised.  It may run again after a busy database: it must have no other effects.
        """

    def version(self) -> int | None:
        """
        A number that stays the same as long as nobody commits, in whichever process; asked without waiting.

        What a ``read`` begun afterwards finds holds as long as this number.  ``None``: it cannot be told.
        """


class Metrics(Protocol):
    """Metric objects of the worker.  Asking twice for one name gives the same object, whatever the generation."""

    def counter(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Any:
        """A ``prometheus_client.Counter``."""

    def gauge(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Any:
        """A ``prometheus_client.Gauge``."""

    def histogram(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Any:
        """A ``prometheus_client.Histogram`` of seconds."""


class Host(Protocol):
    """The whole host, asked from one worker: the anchor gathers from every worker."""

    def health(self) -> Deferred[dict[str, Any]]:
        """``{"status": "ok"|"failing", "parts": {name: {"status", "cause"}}}`` over all workers."""

    def metrics(self) -> Deferred[bytes]:
        """The Prometheus text exposition, summed over all workers."""

    def status(self) -> Deferred[dict[str, Any]]:
        """Code, workers and their generations, and the change under way: ``cloudd.control.Status`` as plain data."""

    def code(self) -> Deferred[dict[str, Any]]:
        """``version``, and ``code``: ``cloudd.control.CodeStatus`` as plain data; no other worker is asked for it."""

    def rates(self, without: str = "") -> Deferred[dict[str, Any]]:
        """
        Requests, server errors and milliseconds of the last minutes, over all workers.

        :param without: leave out the routes that begin so; empty: none
        :return: ``every_s``; ``samples``, oldest first: ``time``, ``seconds``; the numbers ``requests``, ``errors``,
            ``p50_ms`` and ``p99_ms`` in ``all`` and by face in ``faces``; ``routes``, busiest first: ``face``,
            ``route`` and the same numbers.  Milliseconds are ``None`` where there was no request
        """

    def audit(self, limit: int) -> Deferred[dict[str, Any]]:
        """The last ``limit`` (at least 1) entries of the audit log: ``cloudd.control.Audit`` as plain data."""

    def plan(self) -> Deferred[dict[str, Any]]:
        """What an upgrade to the start tree would do, which it reads: ``cloudd.control.Plan`` as plain data."""


class OrderTaker(Protocol):
    """What other nodes order of this host: see ``orders``.  The anchor carries it out."""

    def plan(self, tree: str, how: str = "", canary: float | None = None) -> Deferred[dict[str, Any]]:
        """``cloudd.control.Plan`` of an upgrade, as plain data; what stands against it is in there, not raised."""

    def begin(self, action: OrderAction, order: Mapping[str, Any], sender: str) -> Deferred[dict[str, Any]]:
        """
        Change the code of this host.

        :param order: an ``Order`` as plain data
        :param sender: the name of the node that orders
        :return: an ``OrderStatus`` as plain data
        :raises OrderRefused: see there
        """

    def status(self, order_id: str) -> Deferred[dict[str, Any]]:
        """
        What became of it, likewise.

        :raises NoSuchOrder: see there
        """

    def withdraw(self, order_id: str) -> Deferred[dict[str, Any]]:
        """
        The same; one that is not known will never be begun.

        :raises NoSuchOrder: this host's anchor is of older code
        """


@frozen
class PartHealth:
    """
    How one part is doing.

    ``cause`` is a sentence with the next step; of a part that is ``ok`` it is empty, or what an operator should know
    all the same.
    """

    part: str
    ok: bool
    cause: str = ""


@frozen
class WorkForm:
    """
    One kind of a worker's own work, as one generation knows it.

    :ivar reads: versions of its rows that can be worked on
    :ivar writes: the version that is written
    """

    reads: tuple[int, ...]
    writes: int


@frozen
class WorkReport:
    """
    How one generation has fared with one kind of work in this process.

    :ivar attempts: that ended by themselves, of the last hundred
    :ivar troubles: how many of them raised, hung or lost their lease
    :ivar running: how many there are now
    :ivar cause: of the last trouble
    """

    attempts: int = 0
    troubles: int = 0
    running: int = 0
    cause: str = ""


@frozen(kw_only=True)
class Resources:
    """What the kernel lends to a generation."""

    reactor: Any
    settings: Settings
    threads: Threads
    database: Transactions
    object_index: Transactions
    metrics: Metrics
    host: Host
    role: str  # "front", "agent" or "all"
    generation: int
    urls: Mapping[str, str]  # face ("api", "object", "s3", "metadata") -> base URL without a slash at its end
    secrets: Path  # folder of key files, mode 0700
    bus: Bus | None = None  # to other nodes; None in workers that have none
    orders: OrderTaker | None = None  # of other nodes; as ``bus``
    extra: Mapping[str, Any] = field(factory=dict)


class IApplication(Interface):
    """
    One generation's answer to all requests of a worker; made by ``cloudd.application.build(resources)``.

    ``build`` runs in a thread beside the reactor: it makes objects and starts nothing.  All else runs in the reactor.
    """

    health = Attribute("``() -> list[PartHealth]``: cheap, called on the reactor.")

    def self_check() -> Deferred[None]:
        """
        Try every module that can be tried without changing data, before the first request.

        :raises SelfCheckFailed: with the module's name and the cause in words
        """

    def start(state: Mapping[str, Any]) -> None:
        """
        Start timers; ``state`` is what the previous generation's ``snapshot`` gave, or empty.

        While a canary runs the previous generation goes on beside this one, with its timers; this one may be retired
        without ever having been the only one.
        """

    def lead(kinds: Collection[str] | None = None, on_trial: bool = False) -> None:
        """
        Do the worker's own work, such as tasks, of these kinds from now on, and give back what runs of others.

        Called after ``start``, again with other kinds as they go over from one generation to the other in a canary, and
        with all of them when this generation was decided for.

        :param kinds: among those of ``work``; None: all, and the upkeep that belongs to no kind
        :param on_trial: a canary runs: nothing may be given up for good that this code cannot do
        """

    def work() -> dict[str, WorkForm]:
        """Kinds of work that this worker does, by name, in the order in which they may go over; empty: it does none."""

    def work_reports() -> dict[str, WorkReport]:
        """How this generation has fared with each kind of work."""

    def snapshot() -> dict[str, Any]:
        """Pure: caches worth keeping, as plain data in versioned envelopes (``reload.Snapshot``)."""

    def states() -> States:
        """
        Kinds and versions of what its handlers tell of requests that go on elsewhere, with the steps between versions.

        Code that reads no version of a kind that other code tells is refused before it serves.
        """

    def handle(request: Any) -> Any:
        """Answer one ``cloudd.protocols.http.Request``; may return a coroutine, which the kernel drives."""

    def note(kind: str, data: Mapping[str, Any]) -> None:
        """
        Tell of something that the host has done, for who follows its events; does not wait.

        :param kind: ``upgrade.progress`` or ``upgrade.ended``
        :param data: plain data
        """

    def operate(call: str, arguments: Mapping[str, Any]) -> Deferred[dict[str, Any]]:
        """
        Do what an operator asks for on the control socket.

        :param call: its name; which there are is the application's matter
        :param arguments: plain data by name
        :return: plain data
        :raises OperationRefused: it cannot be done, or there is no such call
        """

    def retire() -> None:
        """A newer generation took over: stop timers and listening; requests in flight still end here."""

    def rest() -> Deferred[None]:
        """
        Begin no work of one's own any more; fires when what runs has ended, or can go on elsewhere.

        The generation is freed no earlier.  Called after ``retire``, or before the process ends; safe to call again.
        """


class OperationRefused(Exception):
    """What an operator asked for is not done; the text says why, in words for operators."""

    expected = True  # no traceback in the log of a link


class SelfCheckFailed(Exception):
    """A module of the new code does not pass its own check; nothing was changed."""

    def __init__(self, module: str, cause: str) -> None:
        super().__init__(f"{module}: {cause}")
        self.module = module
        self.cause = cause
