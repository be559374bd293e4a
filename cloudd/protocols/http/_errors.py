"""What can go wrong between a client, a handler and the connection."""

from __future__ import annotations


class BadRequest(Exception):
    """
    The client's bytes are no request that this server takes; the connection answers and closes.

    :ivar status: 400, 408, 413, 414, 417, 431, 501 or 505
    :ivar cause: one sentence for the person at the client
    """

    def __init__(self, status: int, cause: str) -> None:
        super().__init__(f"{status}: {cause}")
        self.status = status
        self.cause = cause


class ClientGone(Exception):
    """The client left before its answer had ended; nothing more can be sent to it."""


class BodyTooLarge(Exception):
    """The request's body is longer than its reader takes; the rest was not read.  ``limit`` is in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the request's body is longer than {limit} bytes")
        self.limit = limit


class BodyTruncated(Exception):
    """The client stopped before the end of the body it had announced.  What was read so far is not the body."""


class BodyTimedOut(BodyTruncated):
    """Nothing of the body came for too long, and the client is still there to be told (408)."""


class BodyMalformed(BodyTruncated):
    """The body's chunked framing is broken, so its end cannot be known; ``cause`` says what was found."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class BodyAlreadyRead(Exception):
    """The body was given to a reader before; it is not kept for a second one."""


class AnswerMisused(Exception):
    """The handler answered in an impossible order, for example twice.  A mistake in the handler."""


class FileTooShort(OSError):
    """A file ended before the length that was to be sent; the answer cannot be completed: abort it."""


class NotExportable(Exception):
    """The connection is at a point that cannot be continued elsewhere; ``cause`` says why.  Ask again later."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause
