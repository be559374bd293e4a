"""
What nodes ask each other, on the topic ``node``.

All of it can be begun again: an order is known by its id.  So calls outlive the death of who serves them.
"""

from __future__ import annotations

from cloudd.messaging import Fault, Form

TOPIC = "node"


class Refused(Fault):
    """As ``OrderRefused``."""

    name = "order-refused"


class Unknown(Fault):
    """As ``NoSuchOrder``."""

    name = "no-such-order"


STATUS = Form(name="node.status")
"""``{}`` -> ``id``, ``status`` (of ``Host.status``, without workers), ``health`` (of ``Host.health``)."""

PLAN = Form(name="node.plan", faults=(Refused,))
"""``tree``, ``how``, ``canary`` -> a ``cloudd.control.Plan``."""

UPGRADE = Form(name="node.upgrade", faults=(Refused, Unknown))
"""``order`` -> an ``OrderStatus``."""

ROLLBACK = Form(name="node.rollback", faults=(Refused, Unknown))
"""Likewise."""

UPGRADE_STATUS = Form(name="node.upgrade_status", faults=(Refused, Unknown))
"""``order_id``, and ``withdraw`` of one that is not to be begun -> an ``OrderStatus``."""

FORMS = (STATUS, PLAN, UPGRADE, ROLLBACK, UPGRADE_STATUS)

MESSAGES = {form.name: form.readable for form in FORMS}
"""What this code reads of messages, for other nodes: see ``Pins``."""
