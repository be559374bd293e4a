# -*- test-case-name: tests.protocols.rest.compute.test_server_create -*-
"""Which networks, ports and security groups new servers are to have: looked at when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from cloudd.database import tables
from cloudd.identity import Access
from cloudd.network import NoSuchResource, Port, default_of, groups_named, network_for_server, networks_for_servers
from cloudd.network import one_port as any_port

from .._errors import BadComputeValue, ComputeConflict
from ._facts import State, WantedNetwork
from ._wishes import NewServers

_c = tables.server.c


def wanted_networks(connection: Connection, access: Access, wanted: NewServers) -> tuple[WantedNetwork, ...]:
    """
    What the servers are to be on.

    :raises BadComputeValue: a network or a port is not there, or no server can use it
    :raises ComputeConflict: a port is in use, or it cannot be told which network is meant
    :raises NetworkError: likewise
    """
    if wanted.networks is None:
        return _the_network(connection, access, wanted.needs_network)
    ports = [each.port_id for each in wanted.networks if each.port_id]
    if ports and wanted.most > 1:
        raise BadComputeValue(
            "Unable to launch multiple instances with a single configured port ID. "
            "Please launch your instance one by one with different ports."
        )
    if len(set(ports)) < len(ports):
        raise BadComputeValue("networks: a port is named twice.")
    for each in wanted.networks:
        if each.port_id:
            _check_port(connection, access, each.port_id)
        else:
            if each.fixed_ip and wanted.most > 1:
                raise BadComputeValue("Invalid fixed IP and max count request: one address is not for several servers.")
            network = network_for_server(connection, access, each.network_id, each.fixed_ip)
            _check_subnets(network.id, network.subnet_ids)
    return wanted.networks


def _the_network(connection: Connection, access: Access, needed: bool) -> tuple[WantedNetwork, ...]:
    project_id = access.project_id or ""
    found = networks_for_servers(connection, project_id)
    if len(found) > 1:
        raise ComputeConflict("Multiple possible networks found, use a Network ID to be more specific.")
    if not found:
        if needed:
            raise BadComputeValue(f"Unable to automatically allocate a network for project {project_id}")
        return ()
    _check_subnets(found[0].id, found[0].subnet_ids)
    return (WantedNetwork(network_id=found[0].id),)


def _check_subnets(network_id: str, subnet_ids: Sequence[str]) -> None:
    if not subnet_ids:
        raise BadComputeValue(f"Network {network_id} requires a subnet in order to boot instances on.")


def _check_port(connection: Connection, access: Access, port_id: str) -> None:
    try:
        port: Port = any_port(connection, access, port_id)
    except NoSuchResource:
        raise BadComputeValue(f"Port id {port_id[:64]} could not be found.") from None
    if port.project_id != access.project_id:
        raise BadComputeValue(f"Port {port_id} not usable for this instance: it is another project's.")
    if port.device_id or _is_awaited(connection, port):
        raise ComputeConflict(f"Port {port_id} is still in use.")
    if not port.fixed_ips:
        raise BadComputeValue(f"Port {port_id} requires a FixedIP in order to be used.")


def _is_awaited(connection: Connection, port: Port) -> bool:
    """Whether a server that is accepted and not yet built is to have it: so two that ask at once do not both get it."""
    building = (_c.project_id == port.project_id, _c.deleted_us.is_(None), _c.state == State.BUILDING.value)
    query = select(_c.id).where(*building, _c.networks.contains(port.id, autoescape=True))
    return connection.execute(query.limit(1)).first() is not None


def wanted_groups(connection: Connection, access: Access, wanted: Sequence[str]) -> tuple[str, ...]:
    """
    Ids of security groups for ports that are made; none where the default one alone is meant, which ports have anyway.

    :param wanted: names or ids
    :raises NetworkError: there is none of that name, or several
    """
    if not wanted:
        return ()
    project_id = access.project_id or ""
    found = groups_named(connection, project_id, wanted)
    return () if found == (default_of(connection, project_id),) else found
