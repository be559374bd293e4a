"""What carries messages: an interface with two providers, and the values that cross it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface


class Way(Enum):
    """How a message finds who serves its topic."""

    CALL = "call"  # any one of them, now
    WORK = "work"  # any one of them, kept until done
    NODE = "node"  # the one on a host, now
    ALL = "all"  # one on each host, now


@frozen
class Parcel:
    """
    A message that goes out.

    :param node: for ``Way.NODE``
    :param left_s: when it is of no use any more; None: never
    """

    way: Way
    topic: str
    id: str
    body: bytes = field(repr=False)
    node: str = ""
    left_s: float | None = None


class IDelivery(Interface):
    """A message that has come; one of the three settles it, and all three are without effect when it is settled."""

    body = Attribute("``bytes``")
    redelivered = Attribute("``bool``: somebody may have had it before.")
    attempts = Attribute("``int``: how often it was given back, as far as that is known.")

    def done() -> None:
        """It is done with, for good."""

    def again() -> None:
        """Deliver it again, to whomever."""

    def set_aside(cause: str) -> None:
        """Keep it apart for people to look at, with the cause; nobody gets it again by itself."""


Take = Callable[[Any], object]
"""Gets a ``IDelivery``."""


class IListening(Interface):
    """Messages that come for one server or subscription, after every loss of the connection anew."""

    ready = Attribute("``Deferred[None]``: fires when messages come for the first time.")

    def cancel() -> Deferred[None]:
        """Fires when no further message comes; what has come can still be settled."""

    def close() -> Deferred[None]:
        """What is not settled goes to others.  Safe without ``cancel``, and twice."""


@frozen
class SetAside:
    """
    Messages that nobody will do by themselves.

    :ivar parked: set aside by who got them
    :ivar dead: given up by the transport: expired, or given back too often
    :ivar causes: of some of them, newest last, each as ``TOPIC METHOD: cause (since …)``
    """

    parked: int = 0
    dead: int = 0
    causes: tuple[str, ...] = ()


class ITransport(Interface):
    """
    Carries bytes between the processes of a cloud.  Providers pass ``tests.contracts.messaging.MessagingContract``.
    """

    node = Attribute("``str``: the name of this host.")
    cause = Attribute("``str``: why nothing can be sent; empty when it can.")
    since = Attribute("``float``: since when that is so, in seconds since the epoch.")
    reply_to = Attribute("``str``: where answers to this process go at the moment.")

    def start(on_answer: Callable[[bytes], object], on_change: Callable[[], object]) -> None:
        """
        Be connected from now on.

        :param on_answer: gets the bodies of answers
        :param on_change: called when ``cause`` has changed; when it has become one, no answer to an earlier message
            comes any more
        """

    def stop() -> Deferred[None]:
        """Leave in order."""

    def send(parcel: Parcel) -> Deferred[None]:
        """
        Send a message.

        :return: fires when it has been taken; of ``Way.WORK`` it is kept then, whatever is killed
        :raises NobodyThere: see ``_errors`` for all of these; as failures of the Deferred
        :raises Away: nothing was sent
        :raises Overloaded: nothing was kept
        :raises Interrupted: the connection went before it was known whether it was taken
        """

    def answer(reply_to: str, message_id: str, body: bytes, left_s: float) -> Deferred[None]:
        """Send an answer; fires when it was taken, fails as ``send`` when it cannot be within ``left_s``."""

    def listen(topic: str, take: Take, most: int) -> IListening:
        """
        Get the messages of a topic: of all ways, for this host.

        :param most: of each way, so many that are not settled
        """

    def publish(key: str, message_id: str, body: bytes) -> Deferred[None]:
        """Send an event to whoever has subscribed at this moment; fires when it was taken, fails as ``send``."""

    def subscribe(pattern: str, take: Take, most: int) -> IListening:
        """
        Get events.

        :param pattern: words between dots; ``*`` stands for one, ``#`` for any number
        """

    def set_aside() -> SetAside:
        """What is apart, as far as it is known."""
