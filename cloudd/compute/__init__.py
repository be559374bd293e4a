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

from ._boot import checked_image
from ._errors import (
    BadComputeValue,
    ComputeBusy,
    ComputeConflict,
    ComputeError,
    ComputeForbidden,
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
    flavor_records,
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
from ._groups import create_group, drop_group, group_of, groups_of, join_group, leave_groups, listed_groups, one_group
from ._hosts import INTERNAL_ZONE, ZONE, ComputeService, services
from ._keypairs import check_new as check_new_keypair
from ._keypairs import checked_name, create_keypair, drop_keypair, enforce_create, listed_keypairs, one_keypair
from ._keys import NewKey, fingerprint_of, generated
from ._limits import DEFAULT_CLASS, DEFAULTS, UNLIMITED, limits_of
from ._making import KeyMaker
from ._passwords import ServerPasswords, create_server_keys, new_password
from ._policy import enforce_admin, enforce_read, enforce_write
from ._quotas import Quota, class_limits, default_limits, quota_of, reset_quota, set_class, set_quota
from ._server_create import create_servers, host_name_of
from ._server_details import Details, details_of, security_groups_of, server_addresses
from ._server_facts import AUTO, MANUAL, Doing, Fault, Interface, Server, State, Wanted, WantedNetwork
from ._server_list import SERVER_SORT_KEYS, ServerListing, listed_servers
from ._server_rows import (
    add_interface,
    add_server,
    add_servers,
    change_server,
    drop_interface,
    read_server,
    read_servers,
)
from ._server_status import STATUSES, status_of
from ._server_tags import MAX_TAGS, add_server_tag, drop_server_tag, set_server_tags
from ._server_wishes import MAX_SERVERS, NewServers
from ._servers import (
    change_items,
    delete_server,
    drop_item,
    enforce_unlocked,
    one_server,
    own_server,
    update_server,
)
from ._shares import release, reserve, resize_share, used_by
from ._usage import time_us, usage_totals, usages

__all__ = [
    "AFFINITY",
    "ANTI_AFFINITY",
    "ATTACH",
    "AUTO",
    "BUILD",
    "CONFIRM_RESIZE",
    "CONSOLE",
    "DEFAULTS",
    "DEFAULT_CLASS",
    "DELETE",
    "DETACH",
    "FIRST_FLAVORS",
    "INTERNAL_ZONE",
    "MANUAL",
    "MAX_SERVERS",
    "MAX_TAGS",
    "PLACE",
    "POWER",
    "REBUILD",
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
    "BadComputeValue",
    "ComputeBusy",
    "ComputeConflict",
    "ComputeError",
    "ComputeForbidden",
    "ComputeService",
    "Details",
    "Doing",
    "Fault",
    "Flavor",
    "FlavorListing",
    "Interface",
    "KeyMaker",
    "Keypair",
    "NewKey",
    "NewServers",
    "NoSuchRecord",
    "Quota",
    "QuotaExceeded",
    "Server",
    "ServerGroup",
    "ServerListing",
    "ServerPasswords",
    "Share",
    "State",
    "Usage",
    "UsageTotal",
    "Wanted",
    "WantedNetwork",
    "add_interface",
    "add_server",
    "add_server_tag",
    "add_servers",
    "add_specs",
    "allow",
    "change_items",
    "change_server",
    "check_new_keypair",
    "checked_image",
    "checked_name",
    "class_limits",
    "create_flavor",
    "create_group",
    "create_keypair",
    "create_server_keys",
    "create_servers",
    "default_limits",
    "delete_server",
    "describe_flavor",
    "details_of",
    "disallow",
    "drop_flavor",
    "drop_group",
    "drop_interface",
    "drop_item",
    "drop_keypair",
    "drop_server_tag",
    "drop_spec",
    "enforce_admin",
    "enforce_create",
    "enforce_read",
    "enforce_unlocked",
    "enforce_write",
    "fingerprint_of",
    "first_flavors",
    "flavor_record",
    "flavor_records",
    "forget_project",
    "forget_user",
    "generated",
    "group_of",
    "groups_of",
    "host_name_of",
    "join_group",
    "leave_groups",
    "limits_of",
    "listed_flavors",
    "listed_groups",
    "listed_keypairs",
    "listed_servers",
    "new_password",
    "no_spec",
    "one_flavor",
    "one_group",
    "one_keypair",
    "one_server",
    "own_server",
    "projects_of",
    "quota_of",
    "read_server",
    "read_servers",
    "release",
    "reserve",
    "reset_quota",
    "resize_share",
    "security_groups_of",
    "server_addresses",
    "services",
    "set_class",
    "set_quota",
    "set_server_tags",
    "status_of",
    "time_us",
    "update_server",
    "usage_totals",
    "usages",
    "used_by",
]
