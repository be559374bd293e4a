"""What the control socket says of changes of all nodes, in version 1; see ``_messages``."""

from __future__ import annotations

from ._messages import How, Message, Percent


class RollingRequest(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Change the code of all nodes; ``tree``, ``expected_hash``, ``how`` and ``canary`` as in ``UpgradeRequest``.

    ``parallel`` nodes at a time; each must be well for ``settle_s`` before the next one's turn.
    """

    tree: str = ""
    expected_hash: str = ""
    canary: Percent | None = None
    how: How = ""
    parallel: int = 1
    settle_s: float = 15.0


class RollbackRequest(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take all nodes back, so many at a time."""

    parallel: int = 1


class FinalizeRequest(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``check``: only look whether it can be done."""

    check: bool = False


class RollingNodePlan(Message, frozen=True, kw_only=True):
    """
    What a rolling upgrade would do on one node.

    ``kind`` and ``reason`` are of its ``Plan``, empty where it could not be asked; ``trouble``: what is wrong with it.
    """

    id: str
    name: str
    state: str
    own: bool = False
    hash: str = ""
    target_hash: str = ""
    kind: str = ""
    reason: str = ""
    cause: str = ""
    trouble: str = ""


class RollingPlan(Message, frozen=True, kw_only=True):
    """What it would do, nodes in the order of their turns; ``causes`` stand against it."""

    target_hash: str
    nodes: list[RollingNodePlan]
    causes: list[str] = []
    warnings: list[str] = []
    parallel: int = 1


class RollingNode(Message, frozen=True, kw_only=True):
    """
    How far one node is.

    ``state``: ``waiting``, ``ordered``, ``settling``, ``done``; ``away`` (left out), ``gone`` (removed), ``failed``;
    ``returning``, ``back``, ``stuck`` (it has the new code still).  ``before`` is the hash of the code that it had.
    """

    id: str
    name: str
    state: str
    before: str = ""
    changed: bool = False
    cause: str = ""
    text: str = ""
    done: int = 0
    total: int = 0


class Release(Message, frozen=True, kw_only=True):
    """What can be gone back from while it is ``open``; else it is ``final``, or the cloud has gone ``back``."""

    id: str
    new_hash: str
    state: str
    state_s: float = 0.0
    state_by: str = ""
    tree: str = ""
    nodes: int = 0


class RollingStatus(Message, frozen=True, kw_only=True):
    """
    The latest change of all nodes; ``id`` is its task's, empty: there was none.

    ``state`` is ``queued``, ``running``, ``done`` or ``failed``; ``step`` ``undo`` where an upgrade goes back.
    """

    id: str = ""
    action: str = ""
    state: str = ""
    step: str = ""
    cause: str = ""
    created: float = 0.0
    updated: float = 0.0
    progress: int = 0
    total: int = 0
    tree: str = ""
    who: str = ""
    parallel: int = 1
    target_hash: str = ""
    nodes: list[RollingNode] = []
    release: Release | None = None


class Finality(Message, frozen=True, kw_only=True):
    """
    Whether an upgrade is final: ``done``, or ``causes`` against it, or ``nothing`` was to be made final.

    ``hash`` is of the code that all nodes run, ``steps`` are those that take something away from the tables.
    """

    hash: str = ""
    steps: list[str] = []
    causes: list[str] = []
    nothing: bool = False
    done: bool = False
