"""What the compute service refuses, and why.  ``cause`` is a sentence for people, in Nova's words where it has some."""

from __future__ import annotations


class ComputeError(Exception):
    """
    Base of everything below.

    :ivar status: of the answer in HTTP
    """

    status = 400

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class BadComputeValue(ComputeError):
    """A value has the wrong form, or does not fit the others (400)."""


class NoRoom(ComputeError):
    """
    No host that may have the server has room for it (400, as Nova answers a resize); nothing was changed.

    The cause begins with ``No valid host was found.`` and names what was in the way.
    """


class ComputeForbidden(ComputeError):
    """Whoever asks may not do this (403)."""

    status = 403


class QuotaExceeded(ComputeForbidden):
    """
    The project or the user would have more than it may (403, as in Nova); nothing was changed.

    :ivar resources: which limits, by name
    """

    def __init__(self, cause: str, *resources: str) -> None:
        super().__init__(cause)
        self.resources = resources


class NoSuchRecord(ComputeError):
    """There is none, or who asks may not know of it (404)."""

    status = 404


class ComputeBusy(ComputeError):
    """Too many ask for it at once (503): try again in a moment; nothing was changed."""

    status = 503


class ComputeConflict(ComputeError):
    """Something else is in the way (409); nothing was changed."""

    status = 409
