"""
Messaging over a broker: ``cloudd.messaging.ITransport`` on AMQP 0-9-1, as RabbitMQ speaks it.

    transport = BrokerTransport(reactor, [Address.from_uri("amqps://cloudd:…@mq.example")], "host-1")
    bus = Bus(reactor, transport, metrics)

What it declares at the broker, and what survives what, stands in ``docs/messaging.md``.
"""

from ._transport import BrokerTransport

__all__ = ["BrokerTransport"]
