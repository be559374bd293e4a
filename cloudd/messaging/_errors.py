"""What can become of a message, and which of it may be tried again."""

from __future__ import annotations


class MessagingError(Exception):
    """
    A call was not answered, or a message not taken.

    :cvar retryable: the same, a moment later, may work
    :cvar begun: whether somebody may have begun what was asked for: of what changes something, look before you retry
    """

    retryable = False
    begun = False


class NobodyThere(MessagingError):
    """No process serves this topic, or not on this host; nothing was kept."""

    retryable = True


class Away(MessagingError):
    """There is no connection to the broker, or it takes no messages; nothing was sent."""

    retryable = True


class Overloaded(MessagingError):
    """So much is under way already, here or at the broker, that this was refused; nothing was kept."""

    retryable = True


class Interrupted(MessagingError):
    """The connection or the other process ended meanwhile; whether it was begun is in ``begun``."""

    retryable = True

    def __init__(self, cause: str, *, begun: bool = True) -> None:
        super().__init__(cause)
        self.begun = begun


class DeadlinePassed(MessagingError):
    """There was no answer in time; whoever works on it is told to stop by the same deadline."""

    retryable = True
    begun = True


class NoSuchMethod(MessagingError):
    """Who serves the topic has no method of this name."""


class NoSuchVersion(MessagingError):
    """One side cannot read the version that the other writes: they are too far from each other."""


class BadMessage(MessagingError):
    """What came is no message that this code knows, or not one of this topic."""


class Fault(MessagingError):
    """
    The method was done, and says no.  Subclasses name themselves in ``name`` and stand in their ``Form.faults``.

    :cvar name: for good, as ``no-space``; it crosses processes, the class does not
    :ivar cause: a sentence for people
    :ivar detail: plain data for programs
    """

    name = "fault"
    begun = True

    def __init__(self, cause: str, detail: dict[str, object] | None = None, name: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.detail = detail or {}
        if name:
            self.name = name


class RemoteFailure(Fault):
    """The method raised what it should not have; the log of that process has the traceback."""

    name = "failed"
