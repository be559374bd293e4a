# -*- test-case-name: tests.daemon.test_upgrade -*-
"""What runs, what a change would load in its place, and how a change says that it ends early."""

from __future__ import annotations

from attrs import frozen

from cloudd.control import How, Result
from reload import Changes, CodeTree, Environment

from ._causes import environment_cause, kernel_cause
from ._committed import Committed
from ._manifests import Proof
from ._swap_metrics import Reason


@frozen
class Running:
    """
    What serves now.

    :param tree: the staged copy
    :param interpreter: path of the Python that runs the workers
    :param environment: what is installed there, as far as it can be told
    """

    committed: Committed
    tree: CodeTree
    interpreter: str
    environment: Environment | None

    @property
    def generation(self) -> int:
        """What a worker that starts now boots."""
        return self.committed.generation


@frozen
class Target:
    """
    A tree that a change would load; ``tree`` is not staged yet when it is another one than what runs.

    :param interpreter: path of the Python that is to run it
    :param environment: what is installed there, as far as it can be told
    :param differences: in what that differs from the environment of now, which only new processes can have
    :param how: the way that was asked for
    :param asked_share: of a canary, percent; 0: none was asked for
    """

    tree: CodeTree
    changes: Changes
    proof: Proof
    interpreter: str
    environment: Environment | None
    differences: tuple[str, ...] = ()
    how: How = ""
    asked_share: float = 0.0

    @property
    def is_new(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.changes or self.differences)

    @property
    def new_processes(self) -> str:
        """Why a swap is not enough; empty: it is."""
        causes = [kernel_cause(self.changes.kernel)] if self.changes.kernel else []
        if self.differences:
            causes.append(environment_cause(self.differences))
        if self.how == "hand-over" and not causes:
            causes.append("a hand-over was asked for")
        return "; ".join(causes)


class ChangeEnded(Exception):
    """
    The change ends here, with everything as before.

    ``blames``: because of the code; ``asked``: because somebody wanted it to.

    ``canary``: what the canary saw that ended it, and ``rollback_s``: how long it took from that to be as before.
    """

    def __init__(
        self,
        result: Result,
        cause: str,
        target: Target | None = None,
        undone: Reason | None = None,
        *,
        blames: bool = False,
        asked: bool = False,
        canary: str = "",
        rollback_s: float = 0.0,
    ) -> None:
        super().__init__(cause)
        self.undone: Reason | None = undone
        self.blames = blames
        self.asked = asked
        self.canary = canary
        self.rollback_s = rollback_s
        self.result: Result = result
        self.cause = cause
        self.target = target
