"""
Servers and the records that they refer to, as in the Compute API 2.1: flavors, key pairs, server groups and quotas.

Everything is a function of a connection and who asks, for ``Transactions.read`` and ``write``: rights, conflicts and
quotas are tested in the transaction that writes, and what hosts are to do is ordered there, too::

    [server] = await database.write(create_servers, access, wanted, request_id)     # PLACE is ordered
    await database.write(power, Order(access, server.id, request_id), Verb.STOP)    # POWER, of its host
    await database.write(delete_server, Order(access, server.id, request_id))       # DELETE, or it is gone

Whoever does such a task writes what became of the server, without rights: ``settle``, ``fail``, ``gone`` and
``note_event``.  Writes are one after another in the whole cloud, so quotas and claims hold however many ask at once.
"""

from ._errors import (
    BadComputeValue,
    ComputeBusy,
    ComputeConflict,
    ComputeError,
    ComputeForbidden,
    NoRoom,
    NoSuchRecord,
    QuotaExceeded,
)
from ._facts import (
    AFFINITY,
    ANTI_AFFINITY,
    SOFT_AFFINITY,
    SOFT_ANTI_AFFINITY,
    SSH,
    X509,
    Flavor,
    Keypair,
    ServerGroup,
    Share,
    Usage,
    UsageTotal,
)
from ._forms import (
    ATTACH,
    BUILD,
    CONFIRM_RESIZE,
    CONSOLE,
    DELETE,
    DETACH,
    PLACE,
    POWER,
    REBUILD,
    RESIZE,
    REVERT_RESIZE,
    SNAPSHOT,
)
from ._gone import forget_project, forget_user
from ._policy import enforce_admin, enforce_read, enforce_write
from .flavors._first import FIRST_FLAVORS, first_flavors
from .flavors._flavors import (
    SORT_KEYS,
    FlavorListing,
    add_specs,
    allow,
    create_flavor,
    describe_flavor,
    disallow,
    drop_flavor,
    drop_spec,
    flavor_record,
    listed_flavors,
    named_flavor,
    no_spec,
    one_flavor,
    projects_of,
)
from .hosts._aggregates import (
    Aggregate,
    add_aggregate_host,
    aggregates,
    create_aggregate,
    drop_aggregate,
    one_aggregate,
    remove_aggregate_host,
    set_aggregate_items,
    update_aggregate,
)
from .hosts._claims import Claim, claimed, claims_of, keep_resize, need_of, release_claims, write_claims
from .hosts._hosts import (
    INTERNAL_ZONE,
    ZONE,
    ComputeService,
    compute_service_id,
    one_service,
    services,
    set_service,
    zones,
)
from .hosts._hypervisors import Hypervisor, HypervisorServer, hypervisors, one_hypervisor
from .hosts._hypervisors import matching as matching_hypervisors
from .hosts._rows import (
    HostReport,
    OnHost,
    driver_of,
    is_reported,
    on_host,
    report_host,
    report_trouble,
    servers_named,
    servers_on,
    were_deleted,
)
from .hosts._usage import HostUsage, compute_hosts, host_services, host_usage, known_host
from .hosts._zones import zone_of
from .keypairs._keypairs import check_new as check_new_keypair
from .keypairs._keypairs import checked_name, create_keypair, drop_keypair, enforce_create, listed_keypairs, one_keypair
from .keypairs._keys import fingerprint_of
from .keypairs._making import KeyMaker
from .quotas._limits import DEFAULTS, UNLIMITED
from .quotas._quotas import Quota, class_limits, default_limits, quota_of, reset_quota, set_class, set_quota
from .quotas._shares import release, reserve, used_by
from .quotas._usage import time_us, usage_totals, usages
from .servers._access import Order, server_to_change, server_to_read
from .servers._actions import CONSOLE_WAIT_S, Verb, lock, order_console, power, restore, unlock
from .servers._changes import Backup, confirm_resize, create_backup, create_image, rebuild, resize, revert_resize
from .servers._create import create_servers
from .servers._details import Details, details_of, security_groups_of, server_addresses
from .servers._diagnostics import Diagnostics, diagnostics
from .servers._facts import AUTO, MANUAL, Doing, Fault, Interface, Server, State, Wanted, WantedNetwork
from .servers._groups import create_group, drop_group, listed_groups, one_group
from .servers._history import HistoryListing, ServerAction, ServerEvent, begin_action, one_action, server_actions
from .servers._interfaces import NewInterface, Plugged, interfaces_of, leaving_ports, one_interface
from .servers._interfaces import attach as attach_interface
from .servers._interfaces import detach as detach_interface
from .servers._listing import SERVER_SORT_KEYS, ServerListing, listed_servers
from .servers._migrations import Migration, MigrationListing, migrations
from .servers._old import OldServers, forget_old_servers, has_old_servers
from .servers._passwords import ServerPasswords, create_server_keys, new_password
from .servers._progress import EVENT_ERROR, EVENT_SUCCESS, fail, forget_interfaces, gone, note_event, settle, size_back
from .servers._quotas import enforce_contents
from .servers._reset import RESET, reset_state, revert_records, was_reset
from .servers._rows import add_interface, add_server, change_server, read_server, read_servers
from .servers._security import add_security_group, remove_security_group
from .servers._status import STATUSES, status_of
from .servers._tags import MAX_TAGS, add_server_tag, drop_server_tag, set_server_tags
from .servers._update_delete import change_items, delete_server, drop_item, update_server
from .servers._wishes import MAX_SERVERS, NewServers

__all__ = [
    "AFFINITY",
    "ANTI_AFFINITY",
    "ATTACH",
    "AUTO",
    "BUILD",
    "CONFIRM_RESIZE",
    "CONSOLE",
    "CONSOLE_WAIT_S",
    "DEFAULTS",
    "DELETE",
    "DETACH",
    "EVENT_ERROR",
    "EVENT_SUCCESS",
    "FIRST_FLAVORS",
    "INTERNAL_ZONE",
    "MANUAL",
    "MAX_SERVERS",
    "MAX_TAGS",
    "PLACE",
    "POWER",
    "REBUILD",
    "RESET",
    "RESIZE",
    "REVERT_RESIZE",
    "SERVER_SORT_KEYS",
    "SNAPSHOT",
    "SOFT_AFFINITY",
    "SOFT_ANTI_AFFINITY",
    "SORT_KEYS",
    "SSH",
    "STATUSES",
    "UNLIMITED",
    "X509",
    "ZONE",
    "Aggregate",
    "Backup",
    "BadComputeValue",
    "Claim",
    "ComputeBusy",
    "ComputeConflict",
    "ComputeError",
    "ComputeForbidden",
    "ComputeService",
    "Details",
    "Diagnostics",
    "Doing",
    "Fault",
    "Flavor",
    "FlavorListing",
    "HistoryListing",
    "HostReport",
    "HostUsage",
    "Hypervisor",
    "HypervisorServer",
    "Interface",
    "KeyMaker",
    "Keypair",
    "Migration",
    "MigrationListing",
    "NewInterface",
    "NewServers",
    "NoRoom",
    "NoSuchRecord",
    "OldServers",
    "OnHost",
    "Order",
    "Plugged",
    "Quota",
    "QuotaExceeded",
    "Server",
    "ServerAction",
    "ServerEvent",
    "ServerGroup",
    "ServerListing",
    "ServerPasswords",
    "Share",
    "State",
    "Usage",
    "UsageTotal",
    "Verb",
    "Wanted",
    "WantedNetwork",
    "add_aggregate_host",
    "add_interface",
    "add_security_group",
    "add_server",
    "add_server_tag",
    "add_specs",
    "aggregates",
    "allow",
    "attach_interface",
    "begin_action",
    "change_items",
    "change_server",
    "check_new_keypair",
    "checked_name",
    "claimed",
    "claims_of",
    "class_limits",
    "compute_hosts",
    "compute_service_id",
    "confirm_resize",
    "create_aggregate",
    "create_backup",
    "create_flavor",
    "create_group",
    "create_image",
    "create_keypair",
    "create_server_keys",
    "create_servers",
    "default_limits",
    "delete_server",
    "describe_flavor",
    "detach_interface",
    "details_of",
    "diagnostics",
    "disallow",
    "driver_of",
    "drop_aggregate",
    "drop_flavor",
    "drop_group",
    "drop_item",
    "drop_keypair",
    "drop_server_tag",
    "drop_spec",
    "enforce_admin",
    "enforce_contents",
    "enforce_create",
    "enforce_read",
    "enforce_write",
    "fail",
    "fingerprint_of",
    "first_flavors",
    "flavor_record",
    "forget_interfaces",
    "forget_old_servers",
    "forget_project",
    "forget_user",
    "gone",
    "has_old_servers",
    "host_services",
    "host_usage",
    "hypervisors",
    "interfaces_of",
    "is_reported",
    "keep_resize",
    "known_host",
    "leaving_ports",
    "listed_flavors",
    "listed_groups",
    "listed_keypairs",
    "listed_servers",
    "lock",
    "matching_hypervisors",
    "migrations",
    "named_flavor",
    "need_of",
    "new_password",
    "no_spec",
    "note_event",
    "on_host",
    "one_action",
    "one_aggregate",
    "one_flavor",
    "one_group",
    "one_hypervisor",
    "one_interface",
    "one_keypair",
    "one_service",
    "order_console",
    "power",
    "projects_of",
    "quota_of",
    "read_server",
    "read_servers",
    "rebuild",
    "release",
    "release_claims",
    "remove_aggregate_host",
    "remove_security_group",
    "report_host",
    "report_trouble",
    "reserve",
    "reset_quota",
    "reset_state",
    "resize",
    "restore",
    "revert_records",
    "revert_resize",
    "security_groups_of",
    "server_actions",
    "server_addresses",
    "server_to_change",
    "server_to_read",
    "servers_named",
    "servers_on",
    "services",
    "set_aggregate_items",
    "set_class",
    "set_quota",
    "set_server_tags",
    "set_service",
    "settle",
    "size_back",
    "status_of",
    "time_us",
    "unlock",
    "update_aggregate",
    "update_server",
    "usage_totals",
    "usages",
    "used_by",
    "was_reset",
    "were_deleted",
    "write_claims",
    "zone_of",
    "zones",
]
