"""What can be wrong with nodes."""

from __future__ import annotations


class NodeError(Exception):
    """Base of these errors; ``cause`` is a sentence for operators."""

    expected = True  # no traceback in the log of a link

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class NoSuchNode(NodeError):
    """No node has that name or id."""


class WrongNodeState(NodeError):
    """The node is not in a state in which this can be done."""


class DutyLost(NodeError):
    """The duty is another node's now, or nobody's: nothing was written."""


class AuthorityUnavailable(NodeError):
    """This node cannot issue certificates."""


class JoinRefused(NodeError):
    """
    A machine may not join, or a node's certificate is not renewed.

    :param status: the HTTP status that the asker gets
    """

    def __init__(self, cause: str, status: int = 403) -> None:
        super().__init__(cause)
        self.status = status
