"""
Networks, subnets, ports and security groups as records, as in the Network API v2.0.

Everything is a function of a connection and who asks, for ``Transactions.read`` and ``write``: rights and conflicts are
tested in the transaction that writes, and another service makes a port in its own::

    def build(connection: Connection) -> None:
        port = create_port(connection, access, Port(id="", project_id=..., network_id=..., mac_address=""), None, NAMED)

An address is a row whose key it is (``_allocation``), so none is given twice however many ask at once.
"""

from ._attachments import Attachment, attachments, ports_at
from ._binding import bind_port, forget_port, mtus_of, port_record, set_port_status, unbind_port
from ._errors import BadNetworkValue, NetworkConflict, NetworkError, NetworkForbidden, NoAddressLeft, NoSuchResource
from ._facts import AddressPair, FixedIP, HostRoute, Network, Pool, Port, Rule, SecurityGroup, Subnet
from ._groups import create as create_group
from ._groups import create_rule, default_of, drop_rule, listed_rules, one_rule
from ._groups import drop as drop_group
from ._groups import listed as listed_groups
from ._groups import one as one_group
from ._groups import update as update_group
from ._listing import Listing
from ._networks import (
    create_network,
    create_subnet,
    drop_network,
    drop_subnet,
    listed_networks,
    listed_subnets,
    one_network,
    one_subnet,
    update_network,
    update_subnet,
)
from ._policy import enforce_admin
from ._ports import WantedIP, create_port, drop_port, listed_ports, one_port, update_port
from ._quotas import DEFAULTS as QUOTA_DEFAULTS
from ._quotas import Room, all_quotas, forget_quota, quota_details, quota_of, reset_quota, set_quota
from ._rules import number_of as protocol_number
from ._servers import (
    ServerAddress,
    ServerGroupName,
    addresses_of,
    group_names_of,
    group_records,
    groups_named,
    network_for_server,
    networks_for_servers,
)

__all__ = [
    "QUOTA_DEFAULTS",
    "AddressPair",
    "Attachment",
    "BadNetworkValue",
    "FixedIP",
    "HostRoute",
    "Listing",
    "Network",
    "NetworkConflict",
    "NetworkError",
    "NetworkForbidden",
    "NoAddressLeft",
    "NoSuchResource",
    "Pool",
    "Port",
    "Room",
    "Rule",
    "SecurityGroup",
    "ServerAddress",
    "ServerGroupName",
    "Subnet",
    "WantedIP",
    "addresses_of",
    "all_quotas",
    "attachments",
    "bind_port",
    "create_group",
    "create_network",
    "create_port",
    "create_rule",
    "create_subnet",
    "default_of",
    "drop_group",
    "drop_network",
    "drop_port",
    "drop_rule",
    "drop_subnet",
    "enforce_admin",
    "forget_port",
    "forget_quota",
    "group_names_of",
    "group_records",
    "groups_named",
    "listed_groups",
    "listed_networks",
    "listed_ports",
    "listed_rules",
    "listed_subnets",
    "mtus_of",
    "network_for_server",
    "networks_for_servers",
    "one_group",
    "one_network",
    "one_port",
    "one_rule",
    "one_subnet",
    "port_record",
    "ports_at",
    "protocol_number",
    "quota_details",
    "quota_of",
    "reset_quota",
    "set_port_status",
    "set_quota",
    "unbind_port",
    "update_group",
    "update_network",
    "update_port",
    "update_subnet",
]
