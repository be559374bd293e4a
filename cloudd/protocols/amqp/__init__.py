"""
AMQP 0-9-1 for Twisted as RabbitMQ speaks it, on txAMQP's model of the protocol.

It knows nothing of the cloud.  A ``Session`` stays connected and consumes whatever happens to the broker.  Below it
``connect`` gives one ``Connection``, whose channels call the broker, publish with confirms, and consume.  What goes
wrong is one of the errors here.
"""

from ._address import Address, BadAddress
from ._channel import Channel, Delivery
from ._connection import Connection, connect
from ._errors import AMQPError, ConnectionLost, LoginRefused, NotRouted, NotTaken, Refused, Saturated
from ._session import Binding, Consumer, Exchange, Queue, Session, Topology
from ._values import Malformed, Unencodable

__all__ = [
    "AMQPError",
    "Address",
    "BadAddress",
    "Binding",
    "Channel",
    "Connection",
    "ConnectionLost",
    "Consumer",
    "Delivery",
    "Exchange",
    "LoginRefused",
    "Malformed",
    "NotRouted",
    "NotTaken",
    "Queue",
    "Refused",
    "Saturated",
    "Session",
    "Topology",
    "Unencodable",
    "connect",
]
