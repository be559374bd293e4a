"""What can become of a call or a message."""

from __future__ import annotations


class AMQPError(Exception):
    """Something did not work between us and the broker."""


class ConnectionLost(AMQPError):
    """The connection has gone; whether what was under way was carried out is unknown."""


class Refused(AMQPError):
    """
    The broker closed the channel, or the whole connection, over a call.

    :ivar code: as 404, see AMQP 0-9-1 section 1.2
    :ivar text: the broker's words
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


class LoginRefused(Refused):
    """User, password or virtual host are not what the broker knows."""


class NotTaken(AMQPError):
    """The broker answered a message with a nack: it could not take responsibility for it."""


class NotRouted(AMQPError):
    """
    No queue was there for a message that must reach one.

    :ivar code: as 312
    """

    def __init__(self, code: int, text: str, exchange: str, routing_key: str) -> None:
        super().__init__(f"{code} {text}: exchange {exchange!r}, routing key {routing_key!r}")
        self.code = code


class Saturated(AMQPError):
    """So many messages wait for the broker already that another one is not begun; try later."""
