"""
What identity refuses, and why.

Each error carries its facts; the faces choose status and fault name.  ``cause`` is a sentence for the client.
"""

from __future__ import annotations


class IdentityError(Exception):
    """Base of everything below; ``cause`` says in one sentence what to do about it."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class BadValue(IdentityError):
    """A value has the wrong type, length or form (400).  ``field`` names it, for example ``user.name``."""

    def __init__(self, field: str, cause: str) -> None:
        super().__init__(f"{field}: {cause}")
        self.field = field


class Unauthorized(IdentityError):
    """
    The log-in is refused (401).

    The client never learns which part was wrong; ``reason`` does say it and is for the log alone.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("The request you have made requires authentication.")
        self.reason = reason


class InvalidToken(IdentityError):
    """This token is not valid (401; 404 when it is the subject of a call): malformed, foreign, expired or revoked."""


class NoSuchCredential(IdentityError):
    """No usable EC2 credential has this access key: unknown, deleted, or its user or project is disabled."""

    def __init__(self, access_key: str) -> None:
        super().__init__("this access key is not known, or its user or project is disabled")
        self.access_key = access_key


class Forbidden(IdentityError):
    """Whoever asks is known but may not do this (403).  ``action`` is the rule's name, see ``_policy.RULES``."""

    def __init__(self, action: str, cause: str = "") -> None:
        super().__init__(cause or f"You are not authorized to perform the requested action: identity:{action}.")
        self.action = action


class NotFound(IdentityError):
    """There is no such thing, or who asks may not know of it (404)."""

    def __init__(self, kind: str, id: str) -> None:  # noqa: A002 - the API's word
        super().__init__(f"Could not find {kind}: {id}.")
        self.kind = kind
        self.id = id


class Conflict(IdentityError):
    """The name is taken, or others still depend on the thing (409); nothing was changed."""

    def __init__(self, kind: str, cause: str) -> None:
        super().__init__(cause)
        self.kind = kind


class NotOffered(IdentityError):
    """The API has it, cloudd does not offer it yet (501)."""


class IdentityUnavailable(IdentityError):
    """The control database cannot be read now, so nobody is let in (503); trying again soon makes sense."""
