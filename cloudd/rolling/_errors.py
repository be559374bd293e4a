"""What can be wrong with a change of the whole cloud's code."""

from __future__ import annotations


class RollingError(Exception):
    """It is not begun; ``cause`` is a sentence for operators."""

    expected = True  # no traceback in the log of a link

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause
