"""Why the page's server does not do what it was asked for."""

from __future__ import annotations


class Refused(Exception):
    """Becomes an answer of ``status`` with ``cause``, a sentence for the person at the browser."""

    def __init__(self, status: int, cause: str) -> None:
        super().__init__(cause)
        self.status = status
        self.cause = cause
