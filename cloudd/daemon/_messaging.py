# -*- test-case-name: tests.daemon.test_messaging -*-
"""
A worker's bus: over the broker that the settings name, else inside of its process.

The worker that does the host's own work (``agent``, or ``all``) has one; front workers have none.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as WaitedTooLong
from twisted.logger import Logger

from cloudd.interfaces.application import Metrics
from cloudd.interfaces.broker import broker_urls
from cloudd.interfaces.settings import NODE_ID, MessagingSettings, Settings
from cloudd.messaging import Bus, Hub, ITransport

ROLES = ("agent", "all")
LEAVE_S = 2.0  # less than what a worker that is told to end has before it is killed: `KILL_DELAY_S` of `_leaving`

log = Logger()


def bus_of(role: str, settings: Settings, reactor: Any, metrics: Metrics) -> Bus | None:
    """
    The bus of a worker of this role, not started yet; None: it has none.

    Reads a small file.
    """
    if role not in ROLES:
        return None
    node = _node_name(settings)
    transport: ITransport = Hub(reactor).transport(node)
    if settings.messaging.url:
        transport = _over_broker(settings.messaging, node, reactor)
    return Bus(reactor, transport, metrics)


async def leave(bus: Bus | None, reactor: Any) -> None:
    """End it, however its broker does: what it holds goes to others when its connection ends with this process."""
    if bus is None:
        return
    try:
        await Deferred.fromCoroutine(bus.stop()).addTimeout(LEAVE_S, reactor)
    except WaitedTooLong:
        log.warn("messaging did not end within {limit_s} s", limit_s=LEAVE_S)
    except Exception:
        log.failure("messaging did not end well")


def _over_broker(messaging: MessagingSettings, node: str, reactor: Any) -> ITransport:
    # Not at the top: a cloud of one machine need not wait for its import.
    from cloudd.protocols.amqp import Address
    from cloudd.protocols.bus import BrokerTransport

    ca_file, certificate_file, key_file = (
        Path(named) if named else None for named in (messaging.ca_file, messaging.certificate_file, messaging.key_file)
    )
    addresses = [
        evolve(Address.from_uri(url), ca_file=ca_file, certificate_file=certificate_file, key_file=key_file)
        for url in broker_urls(messaging.url)
    ]
    file = messaging.password_file
    password = (lambda: Path(file).read_text(encoding="utf-8").rstrip("\r\n")) if file else None
    transport: ITransport = BrokerTransport(reactor, addresses, node, password=password)
    return transport


def _node_name(settings: Settings) -> str:
    """The node's id, which no other node has; the host's name where there is none yet, as with other applications."""
    try:
        return (settings.state / NODE_ID).read_text().strip() or socket.gethostname()
    except OSError:
        return socket.gethostname()
