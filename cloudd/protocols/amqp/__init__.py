"""
AMQP 0-9-1 for Twisted as RabbitMQ speaks it, on txAMQP's model of the protocol.

It knows nothing of the cloud.  ``connect`` gives a ``Connection``; its channels call the broker, publish with confirms,
and consume; what goes wrong is one of the errors here.
"""

from ._address import Address, BadAddress
from ._channel import Channel, Delivery
from ._connection import Connection, connect
from ._errors import AMQPError, ConnectionLost, LoginRefused, NotRouted, NotTaken, Refused, Saturated
from ._values import Malformed, Unencodable

__all__ = [
    "AMQPError",
    "Address",
    "BadAddress",
    "Channel",
    "Connection",
    "ConnectionLost",
    "Delivery",
    "LoginRefused",
    "Malformed",
    "NotRouted",
    "NotTaken",
    "Refused",
    "Saturated",
    "Unencodable",
    "connect",
]
