"""AMQP 0-9-1 for Twisted, on txAMQP's model of the protocol, as RabbitMQ speaks it."""
