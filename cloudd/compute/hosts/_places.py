# -*- test-case-name: tests.protocols.rest.compute.test_server_create -*-
"""Zones and hosts that requests name."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from cloudd.database import tables

from .._errors import BadComputeValue
from ._hosts import ZONE

_c = tables.compute_host.c


def checked_place(connection: Connection, zone: str, host: str) -> None:
    """
    :param zone: empty: any; ``host`` likewise
    :raises BadComputeValue: there is none
    """
    if zone and zone != ZONE and connection.execute(select(_c.name).where(_c.zone == zone)).first() is None:
        raise BadComputeValue("The requested availability zone is not available")
    if host and connection.execute(select(_c.name).where(_c.name == host)).first() is None:
        raise BadComputeValue(f"Compute host {host[:255]} could not be found.")


def zones_of(connection: Connection, node_ids: Sequence[str]) -> dict[str, str]:
    """Of each of these hosts, by id of the node; of those that are not known the default one."""
    if not node_ids:
        return {}
    rows = connection.execute(select(_c.node_id, _c.zone).where(_c.node_id.in_(node_ids)))
    return dict.fromkeys(node_ids, ZONE) | {node_id: zone or ZONE for node_id, zone in rows}
