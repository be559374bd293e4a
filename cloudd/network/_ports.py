# -*- test-case-name: tests.protocols.rest.network.test_records -*-
"""
Ports: functions with a ``sqlalchemy.Connection``, rights included.

**From which addresses a port may send**: its own, and those of address pairs.  A network's owner allows what lies in
the network's subnets, as for an address that two servers share.  Other pairs, and no port security, are for
administrators: networks are not apart on the wire yet, so whoever has them sends from the address of anybody on the
host.  In Neutron a network's owner says both.  To say again what is so anyway, or to allow less, is for everybody:
clients do so.
"""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import Connection, select

from cloudd.database import tables
from cloudd.identity import Access

from . import _policy
from ._addresses import address_of, eui64, is_within, key_of, mac_of, network_of
from ._allocation import give_back, take, take_any
from ._errors import BadNetworkValue, NetworkConflict, NetworkForbidden, NoAddressLeft, NoSuchResource
from ._facts import FixedIP, Network, Port, Subnet
from ._groups import checked_ids, default_of
from ._listing import Listing, page
from ._networks import one_network
from ._quotas import Room
from ._rows import NETWORK, PORT, SUBNET, add, change, complete, get, remove, set_groups

MAX_FIXED_IPS, MAX_PAIRS = 5, 10
_PAIRS = "allowed_address_pairs"
TRIES = 16  # for a MAC that nobody has
MAC = re.compile("(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
NETWORK_OWNERS = "network:"
FOR_ADMINS = frozenset({"host", "profile"})
FOR_OWNERS = frozenset({"mac_address", "port_security_enabled", "address_pairs"})  # of the network
_SELF_GIVEN = ("slaac", "dhcpv6-stateless")


@frozen
class WantedIP:
    """A fixed IP as it is asked for: a subnet, an address, or both."""

    subnet_id: str = ""
    ip_address: str = ""


def create_port(
    connection: Connection,
    access: Access,
    wanted: Port,
    fixed_ips: Sequence[WantedIP] | None,
    given: frozenset[str],
    room: Room | None = None,
) -> Port:
    """
    :param fixed_ips: None: one of each IP version that the network has
    :param given: attributes that the client has named
    :param room: of the transaction, where it makes several
    :raises NoAddressLeft:
    :raises NetworkForbidden: something of it is for administrators, or for the network's owner
    """
    _policy.enforce_write(access)
    network = one_network(connection, access, wanted.network_id)
    _check_rights(access, network, wanted, fixed_ips, given)
    if _outside(connection, wanted, _pairs(wanted)):
        _policy.enforce_admin(access, f"create_port:{_PAIRS}")
    secure = wanted.port_security_enabled if "port_security_enabled" in given else network.port_security_enabled
    groups = wanted.security_group_ids if "security_group_ids" in given else ()
    if "security_group_ids" not in given and secure and not wanted.device_owner.startswith(NETWORK_OWNERS):
        groups = (default_of(connection, wanted.project_id),)
    port = checked(
        evolve(
            wanted, id=str(uuid.uuid4()), port_security_enabled=secure, security_group_ids=(), fixed_ips=(),
            mac_address=_mac(connection, network.id, wanted.mac_address),
        ),
        groups,
    )  # fmt: skip
    (room or Room()).take(connection, "port", wanted.project_id)
    add(connection, PORT, port)
    _give(connection, network, port, fixed_ips)
    set_groups(connection, port.id, checked_ids(connection, access, tuple(groups)))
    found: Port = get(connection, PORT, port.id)
    return found


def _check_rights(
    access: Access, network: Network, wanted: Port, fixed_ips: Sequence[WantedIP] | None, given: frozenset[str]
) -> None:
    restricted = FOR_ADMINS & given
    if "port_security_enabled" in given and network.port_security_enabled and not wanted.port_security_enabled:
        restricted |= {"port_security_enabled"}
    if not _policy.owns(access, network.project_id):
        restricted |= FOR_OWNERS & given
        if any(each.ip_address for each in fixed_ips or ()):
            restricted |= {"fixed_ips:ip_address"}
        if wanted.device_owner.startswith(NETWORK_OWNERS):
            restricted |= {"device_owner"}
    for name in sorted(restricted):
        _policy.enforce_admin(access, f"create_port:{name}")


def checked(port: Port, groups: Sequence[str]) -> Port:
    """
    What belongs together does.

    :raises BadNetworkValue:
    """
    if len(port.address_pairs) > MAX_PAIRS:
        raise BadNetworkValue(f"The number of allowed address pair exceeds the maximum {MAX_PAIRS}.")
    for pair in port.address_pairs:
        if "/" in pair.ip_address:
            network_of(pair.ip_address, _PAIRS)
        else:
            address_of(pair.ip_address, _PAIRS)
        if pair.mac_address and not MAC.fullmatch(pair.mac_address):
            raise BadNetworkValue(f"'{pair.mac_address[:40]}' is not a valid MAC address.")
    if not port.port_security_enabled and groups:
        raise NetworkConflict(
            "PortSecurityAndIPRequiredForSecurityGroups",
            "Port security must be enabled and port must have an IP address in order to use security groups.",
        )
    if not port.port_security_enabled and port.address_pairs:
        raise NetworkConflict(
            "AddressPairAndPortSecurityRequired",
            "Port Security must be enabled in order to have allowed address pairs on a port.",
        )
    return port


def _mac(connection: Connection, network_id: str, wanted: str) -> str:
    columns = tables.port.c

    def has(mac: str) -> bool:
        query = select(columns.id).where(columns.network_id == network_id, columns.mac_address == mac)
        return connection.execute(query).first() is not None

    if wanted:
        mac = wanted.lower()
        if not MAC.fullmatch(mac) or int(mac[:2], 16) & 1:
            raise BadNetworkValue(f"Invalid input for mac_address. Reason: '{wanted[:40]}' is not a valid MAC address.")
        if has(mac):
            raise NetworkConflict(
                "MacAddressInUse",
                f"Unable to complete operation for network {network_id}. The mac address {mac} is in use.",
            )
        return mac
    for _ in range(TRIES):
        mac = mac_of(secrets.randbits(24))
        if not has(mac):
            return mac
    raise NetworkConflict("MacAddressGenerationFailure", f"Unable to generate unique mac on network {network_id}.")


# ---- addresses


def _give(connection: Connection, network: Network, port: Port, fixed_ips: Sequence[WantedIP] | None) -> None:
    subnets: list[Subnet] = [get(connection, SUBNET, each) for each in network.subnet_ids]
    if fixed_ips is None:
        _give_one_each(connection, subnets, port)
        return
    if len(fixed_ips) > MAX_FIXED_IPS:
        raise BadNetworkValue(f"Exceeded maximum amount of fixed ips per port: {MAX_FIXED_IPS}.", "InvalidInput")
    for position, wanted in enumerate(fixed_ips):
        _give_wanted(connection, subnets, port, wanted, position)


def _give_one_each(connection: Connection, subnets: Sequence[Subnet], port: Port) -> None:
    """One of each IP version, from the first subnet that has one left; none where there is no subnet."""
    position = 0
    for version in (4, 6):
        some = [each for each in subnets if each.ip_version == version]
        if not some:
            continue
        for subnet in some:
            if _any_of(connection, subnet, port, position) is not None:
                break
        else:
            raise NoAddressLeft(port.network_id)
        position += 1


def _any_of(connection: Connection, subnet: Subnet, port: Port, position: int) -> FixedIP | None:
    if subnet.ipv6_address_mode in _SELF_GIVEN:
        return take(connection, subnet, eui64(network_of(subnet.cidr), port.mac_address), port.id, position)
    return take_any(connection, subnet, port.id, position)


def _give_wanted(
    connection: Connection, subnets: Sequence[Subnet], port: Port, wanted: WantedIP, position: int
) -> None:
    subnet = _subnet_for(subnets, port, wanted)
    if wanted.ip_address:
        take(connection, subnet, str(address_of(wanted.ip_address, "fixed_ips")), port.id, position)
    elif _any_of(connection, subnet, port, position) is None:
        raise NoAddressLeft(port.network_id)


def _subnet_for(subnets: Sequence[Subnet], port: Port, wanted: WantedIP) -> Subnet:
    if wanted.subnet_id:
        for subnet in subnets:
            if subnet.id == wanted.subnet_id:
                return subnet
        raise BadNetworkValue(
            f"Invalid input for operation: Failed to create port on network {port.network_id}, because fixed_ips "
            f"included invalid subnet {wanted.subnet_id}."
        )
    if not wanted.ip_address:
        raise BadNetworkValue("IP allocation requires subnet_id or ip_address.")
    address = address_of(wanted.ip_address, "fixed_ips")
    for subnet in subnets:
        if address.version == subnet.ip_version and address in network_of(subnet.cidr):
            return subnet
    raise BadNetworkValue(
        f"IP address {address} is not a valid IP for any of the subnets on the specified network.",
        "InvalidIpForNetwork",
    )


# ---- the others


def listed_ports(
    connection: Connection,
    access: Access,
    listing: Listing,
    by_address: Sequence[WantedIP] = (),
    groups: Sequence[str] = (),
) -> list[Port]:
    """
    One page.

    :param by_address: fixed IPs of which a port has all
    :param groups: security groups of which a port has one
    """
    columns, addresses, members = tables.port.c, tables.port_address.c, tables.port_group.c
    seen = _policy.seen(PORT, access)
    for wanted in by_address:
        has = select(addresses.port_id)
        if wanted.subnet_id:
            has = has.where(addresses.subnet_id == wanted.subnet_id)
        if wanted.ip_address:
            has = has.where(addresses.address == key_of(str(address_of(wanted.ip_address, "fixed_ips"))))
        seen = seen & columns.id.in_(has)
    if groups:
        seen = seen & columns.id.in_(select(members.port_id).where(members.security_group_id.in_(groups)))
    return complete(connection, PORT, page(connection, PORT.table, seen, listing))


def one_port(connection: Connection, access: Access, port_id: str) -> Port:
    """
    :raises NoSuchResource: also where who asks may not know of it
    """
    port: Port = get(connection, PORT, port_id)
    if not _policy.owns(access, port.project_id):
        network = get(connection, NETWORK, port.network_id)
        if not _policy.owns(access, network.project_id):
            raise NoSuchResource(PORT.kind, port_id)
    return port


def update_port(
    connection: Connection, access: Access, port_id: str, values: dict[str, Any], fixed_ips: Sequence[WantedIP] | None
) -> Port:
    """
    :param fixed_ips: all that it has from now on; None: as before
    """
    _policy.enforce_write(access)
    before = one_port(connection, access, port_id)
    network: Network = get(connection, NETWORK, before.network_id)
    for name in sorted(FOR_ADMINS & set(values)):
        _policy.enforce_admin(access, f"update_port:{name}")
    mine = _policy.owns(access, network.project_id)
    if not mine and (FOR_OWNERS & set(values) or fixed_ips is not None):
        raise NetworkForbidden("On another project's network its owner alone changes addresses and port security.")
    if not mine and str(values.get("device_owner", "")).startswith(NETWORK_OWNERS):
        _policy.enforce_admin(access, "update_port:device_owner")
    if "mac_address" in values and values["mac_address"] != before.mac_address:
        values = {**values, "mac_address": _mac(connection, before.network_id, values["mac_address"])}
    groups = values.pop("security_group_ids", before.security_group_ids)
    after = checked(evolve(before, **values), groups)
    for name in _widened(connection, network, before, after):
        _policy.enforce_admin(access, f"update_port:{name}")
    if tuple(groups) != before.security_group_ids:
        set_groups(connection, port_id, checked_ids(connection, access, tuple(groups)))
    if fixed_ips is not None:
        give_back(connection, port_id)
        _give(connection, network, after, fixed_ips)
    found: Port = change(connection, PORT, before, after)
    return found


def _widened(connection: Connection, network: Network, before: Port, after: Port) -> Iterator[str]:
    """What is for administrators of that which is another than before."""
    is_other = after.address_pairs != before.address_pairs
    if is_other and _outside(connection, after, set(_pairs(after)) - set(_pairs(before))):
        yield _PAIRS
    if network.port_security_enabled and before.port_security_enabled and not after.port_security_enabled:
        yield "port_security_enabled"


def _outside(connection: Connection, port: Port, pairs: Iterable[tuple[str, str]]) -> bool:
    """Whether one of these pairs is of another MAC than the port's, or not within a subnet of its network."""
    some = list(pairs)
    query = select(tables.subnet.c.cidr).where(tables.subnet.c.network_id == port.network_id)
    own = [network_of(cidr) for cidr in connection.execute(query).scalars()] if some else []
    return any(mac != port.mac_address or not is_within(network_of(address, _PAIRS), own) for address, mac in some)


def _pairs(port: Port) -> Iterator[tuple[str, str]]:
    """As the API shows them: a client that takes one away names the others so."""
    return ((pair.ip_address, pair.mac_address or port.mac_address) for pair in port.address_pairs)


def drop_port(connection: Connection, access: Access, port_id: str) -> None:
    """
    :raises NoSuchResource:
    """
    _policy.enforce_write(access)
    one_port(connection, access, port_id)
    give_back(connection, port_id)
    remove(connection, PORT, port_id)
