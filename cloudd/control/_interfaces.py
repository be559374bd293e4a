"""What the control protocol asks of the daemon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from ._messages import Actor, Audit, DatabaseStatus, Health, How, Outcome, Plan, Progress, Status, Trace

Listener = Callable[[Progress], None]


class IUpgrades(Interface):
    """The code of one host: what runs, what may replace it.  One change at a time."""

    def plan(tree: str, how: How = "", canary: float | None = None) -> Deferred[Plan]:
        """
        Find out what an upgrade would do; changes nothing but the folder of staged copies.

        :param tree: path of a code tree; empty: the tree that the daemon was started from
        :param how: the way that must be taken; empty: the one that is enough
        :param canary: as for ``upgrade``
        :return: the plan; what stands against it is in there (``kind`` is ``refused`` or ``hand-over``), not raised
        """

    def upgrade(
        tree: str, expected_hash: str, actor: Actor, listener: Listener, canary: float | None = None, how: How = ""
    ) -> Deferred[Outcome]:
        """
        Load a tree's swappable modules in every worker.

        Afterwards all workers serve the new generation or all serve the old one.  Cancelling has no effect.

        :param tree: as for ``plan``
        :param expected_hash: refuse a tree of another hash; empty: any
        :param actor: written into the audit log
        :param listener: called for each step; what it raises is logged and ignored
        :param canary: percent of the connections that try the new code first; 0: none; None: as the settings say
        :param how: as for ``plan``
        :return: how it ended; refusals and failures are outcomes, not raised
        """

    def rollback(actor: Actor, listener: Listener) -> Deferred[Outcome]:
        """Load the code that ran before the last upgrade, as a new generation, with no canary; else as ``upgrade``."""

    def audit(limit: int) -> Deferred[Audit]:
        """The last ``limit`` entries of the audit log, at least 1."""


class IDatabaseMoves(Interface):
    """The control database of one host."""

    def status() -> Deferred[DatabaseStatus]:
        """
        Which it is, and how much is in it.

        :raises cloudd.interfaces.application.OperationRefused: no worker can say so; with the cause
        """

    def move(url: str, password_file: str, check: bool, actor: Actor, listener: Listener) -> Deferred[Outcome]:
        """
        Move the records of a SQLite file to a server while the cloud runs.

        Afterwards all records are on the server, or all are in the file.  Cancelling has no effect.

        :param url: of a PostgreSQL server, without a password
        :param password_file: absolute path; empty: none
        :param check: only look whether it can be done; then the outcome is ``unchanged`` or ``refused``
        :return: how it ended; refusals and failures are outcomes, not raised
        """


class IControlled(Interface):
    """The daemon as the control socket sees it; the anchor provides it."""

    upgrades = Attribute("An ``IUpgrades``.")
    database = Attribute("An ``IDatabaseMoves``.")

    def status() -> Deferred[Status]:
        """The host with all its workers; a worker that does not answer is listed as not ready."""

    def health() -> Deferred[Health]:
        """Health summed over all workers."""

    def operate(call: str, arguments: Mapping[str, Any]) -> Deferred[dict[str, Any]]:
        """
        Have the application of one worker do what an operator asks for.

        :param call: ``tasks.list``, ``tasks.show``, ``tasks.cancel``, ``tasks.retry``, ``objects.purge``,
            ``nodes.list``, ``nodes.live``, ``nodes.show``, ``nodes.token``, ``nodes.drain``, ``nodes.return``,
            ``nodes.remove``, ``scheduling.explain``, or what else the application has
        :param arguments: plain data by name
        :return: plain data
        :raises cloudd.interfaces.application.OperationRefused: it is not done, or there is no answer; with the cause
        """

    def trace(request_id: str) -> Deferred[Trace]:
        """
        What the access logs of this host say of one request.

        :param request_id: ``req-`` and a UUID
        :return: its lines, none when there are none, and the files that were searched
        """
