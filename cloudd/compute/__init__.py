"""
The records that servers refer to, as in the Compute API 2.1: key pairs, flavors, server groups and quotas.

Everything is a function of a connection and who asks, for ``Transactions.read`` and ``write``: rights, conflicts and
quotas are tested in the transaction that writes.  Whoever makes servers does all of it in one::

    def accept(connection: Connection) -> None:
        flavor = one_flavor(connection, access, "1")            # keep flavor.id; flavor_record(...) tells it for ever
        key = one_keypair(connection, access, access.user_id, "mine")
        reserve(connection, project_id, access.user_id, [Share(server_id, flavor.vcpus, flavor.ram_mib, ...)])
        join_group(connection, access, group_id, [server_id])

    def gone(connection: Connection) -> None:
        release(connection, server_id)
        leave_groups(connection, server_id)

Writes are one after another in the whole cloud, so quotas hold however many ask at once.
"""

from ._action_rules import RULES as ACTION_RULES
from ._action_rules import Allowed
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
from ._first import FIRST_FLAVORS, first_flavors
from ._flavors import (
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
    no_spec,
    one_flavor,
    projects_of,
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
from ._groups import create_group, drop_group, group_of, join_group, leave_groups, listed_groups, one_group
from ._hosts import (
    COMPUTE,
    INTERNAL_ZONE,
    ZONE,
    ComputeService,
    compute_service_id,
    one_service,
    services,
    set_service,
    zones,
)
from ._hypervisors import Hypervisor, HypervisorServer, hypervisors, one_hypervisor
from ._hypervisors import matching as matching_hypervisors
from ._interfaces import NewInterface, Plugged, interfaces_of, one_interface
from ._interfaces import attach as attach_interface
from ._interfaces import detach as detach_interface
from ._keypairs import check_new as check_new_keypair
from ._keypairs import checked_name, create_keypair, drop_keypair, enforce_create, listed_keypairs, one_keypair
from ._keys import NewKey, fingerprint_of, generated
from ._limits import DEFAULT_CLASS, DEFAULTS, UNLIMITED, limits_of
from ._making import KeyMaker
from ._policy import enforce_admin, enforce_read, enforce_write
from ._quotas import Quota, class_limits, default_limits, quota_of, reset_quota, set_class, set_quota
from ._server_access import Order, server_to_change, server_to_read
from ._server_actions import (
    CONSOLE_WAIT_S,
    Verb,
    lock,
    order_console,
    power,
    reset_state,
    restore,
    unlock,
)
from ._server_changes import (
    ClaimResize,
    check_files,
    check_items,
    confirm_resize,
    create_image,
    rebuild,
    resize,
    revert_resize,
    share_of,
)
from ._server_facts import AUTO, MANUAL, Doing, Fault, Interface, Server, State, Wanted, WantedNetwork
from ._server_history import (
    HistoryListing,
    ServerAction,
    ServerEvent,
    begin_action,
    end_action,
    one_action,
    server_actions,
)
from ._server_rows import add_interface, add_server, change_server, drop_interface, read_server, read_servers
from ._server_security import add_security_group, remove_security_group
from ._shares import release, reserve, resize_share, used_by
from ._usage import time_us, usage_totals, usages

__all__ = [
    "ACTION_RULES",
    "AFFINITY",
    "ANTI_AFFINITY",
    "ATTACH",
    "AUTO",
    "BUILD",
    "COMPUTE",
    "CONFIRM_RESIZE",
    "CONSOLE",
    "CONSOLE_WAIT_S",
    "DEFAULTS",
    "DEFAULT_CLASS",
    "DELETE",
    "DETACH",
    "FIRST_FLAVORS",
    "INTERNAL_ZONE",
    "MANUAL",
    "PLACE",
    "POWER",
    "REBUILD",
    "RESIZE",
    "REVERT_RESIZE",
    "SNAPSHOT",
    "SOFT_AFFINITY",
    "SOFT_ANTI_AFFINITY",
    "SORT_KEYS",
    "SSH",
    "UNLIMITED",
    "X509",
    "ZONE",
    "Allowed",
    "BadComputeValue",
    "ClaimResize",
    "ComputeBusy",
    "ComputeConflict",
    "ComputeError",
    "ComputeForbidden",
    "ComputeService",
    "Doing",
    "Fault",
    "Flavor",
    "FlavorListing",
    "HistoryListing",
    "Hypervisor",
    "HypervisorServer",
    "Interface",
    "KeyMaker",
    "Keypair",
    "NewInterface",
    "NewKey",
    "NoRoom",
    "NoSuchRecord",
    "Order",
    "Plugged",
    "Quota",
    "QuotaExceeded",
    "Server",
    "ServerAction",
    "ServerEvent",
    "ServerGroup",
    "Share",
    "State",
    "Usage",
    "UsageTotal",
    "Verb",
    "Wanted",
    "WantedNetwork",
    "add_interface",
    "add_security_group",
    "add_server",
    "add_specs",
    "allow",
    "attach_interface",
    "begin_action",
    "change_server",
    "check_files",
    "check_items",
    "check_new_keypair",
    "checked_name",
    "class_limits",
    "compute_service_id",
    "confirm_resize",
    "create_flavor",
    "create_group",
    "create_image",
    "create_keypair",
    "default_limits",
    "describe_flavor",
    "detach_interface",
    "disallow",
    "drop_flavor",
    "drop_group",
    "drop_interface",
    "drop_keypair",
    "drop_spec",
    "end_action",
    "enforce_admin",
    "enforce_create",
    "enforce_read",
    "enforce_write",
    "fingerprint_of",
    "first_flavors",
    "flavor_record",
    "forget_project",
    "forget_user",
    "generated",
    "group_of",
    "hypervisors",
    "interfaces_of",
    "join_group",
    "leave_groups",
    "limits_of",
    "listed_flavors",
    "listed_groups",
    "listed_keypairs",
    "lock",
    "matching_hypervisors",
    "no_spec",
    "one_action",
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
    "remove_security_group",
    "reserve",
    "reset_quota",
    "reset_state",
    "resize",
    "resize_share",
    "restore",
    "revert_resize",
    "server_actions",
    "server_to_change",
    "server_to_read",
    "services",
    "set_class",
    "set_quota",
    "set_service",
    "share_of",
    "time_us",
    "unlock",
    "usage_totals",
    "usages",
    "used_by",
    "zones",
]
