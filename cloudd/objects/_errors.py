"""What the objects service refuses; each face turns these into its own fault."""

from __future__ import annotations


class ObjectsError(Exception):
    """Base of the refusals; ``cause`` is a sentence for the person who asked."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class InvalidName(ObjectsError):
    """The name can never be one of an account, container or object; ``kind`` says of which."""

    def __init__(self, kind: str, cause: str) -> None:
        super().__init__(cause)
        self.kind = kind


class Unauthorized(ObjectsError):
    """Nobody has said who asks, and the container is not public: log in."""


class Forbidden(ObjectsError):
    """Who asks is known and may not do this."""


class InvalidMetadata(ObjectsError):
    """Metadata beyond the limits, or with a name that cannot be kept."""


class InvalidAccessList(ObjectsError):
    """An access control list with an element that means nothing."""


class UnsatisfiableRange(ObjectsError):
    """No byte of the object lies in the ranges asked for; ``size`` is its whole length."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the object has {size} bytes, none of them in the range asked for")
        self.size = size
