"""
The tables of the control database, as SQLAlchemy metadata; ``migrations/`` makes the same, step by step.

Rules: ids are text (32 hex digits, or a well-known word such as ``default``); times are whole microseconds since the
epoch; only types and clauses that SQLite and PostgreSQL share; constraints are named by ``NAMING``, so that a
migration can refer to them.  One module a service.
"""

from ._aggregates import aggregate, aggregate_host
from ._columns import NAMING, metadata
from ._compute import (
    compute_limit,
    flavor,
    flavor_access,
    flavor_spec,
    keypair,
    server_group,
    server_group_member,
    server_share,
)
from ._events import outbox
from ._identity import (
    application_credential,
    application_credential_role,
    domain,
    domain_role,
    ec2_credential,
    implied_role,
    project,
    project_role,
    revocation,
    role,
    user,
)
from ._images import image, image_member, image_property, image_tag
from ._metadefs import metadef, metadef_namespace
from ._networks import (
    network,
    network_quota,
    network_tag,
    port,
    port_address,
    port_group,
    security_group,
    security_rule,
    subnet,
)
from ._nodes import duty, node, node_authority, node_token, release
from ._releases import oldest_reader
from ._servers import compute_host, server, server_action, server_claim, server_event, server_interface, server_tag
from ._work import task

__all__ = [
    "NAMING",
    "aggregate",
    "aggregate_host",
    "application_credential",
    "application_credential_role",
    "compute_host",
    "compute_limit",
    "domain",
    "domain_role",
    "duty",
    "ec2_credential",
    "flavor",
    "flavor_access",
    "flavor_spec",
    "image",
    "image_member",
    "image_property",
    "image_tag",
    "implied_role",
    "keypair",
    "metadata",
    "metadef",
    "metadef_namespace",
    "network",
    "network_quota",
    "network_tag",
    "node",
    "node_authority",
    "node_token",
    "oldest_reader",
    "outbox",
    "port",
    "port_address",
    "port_group",
    "project",
    "project_role",
    "release",
    "revocation",
    "role",
    "security_group",
    "security_rule",
    "server",
    "server_action",
    "server_claim",
    "server_event",
    "server_group",
    "server_group_member",
    "server_interface",
    "server_share",
    "server_tag",
    "subnet",
    "task",
    "user",
]
