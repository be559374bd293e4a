"""Key pairs, flavors, server groups and what servers take of quotas, as values.  Times are microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

SSH: Final = "ssh"
X509: Final = "x509"

AFFINITY: Final = "affinity"
ANTI_AFFINITY: Final = "anti-affinity"
SOFT_AFFINITY: Final = "soft-affinity"
SOFT_ANTI_AFFINITY: Final = "soft-anti-affinity"


@frozen(kw_only=True)
class Keypair:
    """
    One key pair, without its private key, which is kept nowhere.

    :ivar number: what the API calls its id; the name is what tells one from another
    :ivar type: ``SSH`` or ``X509``
    """

    user_id: str
    name: str
    number: int
    type: str
    fingerprint: str
    public_key: str
    created_us: int = 0


@frozen(kw_only=True)
class Flavor:
    """
    One size of servers.

    :ivar id: ours; of two that had one ``flavor_id`` one after another each has its own
    :ivar flavor_id: what the API calls its id, ``1`` or a UUID; among living flavors it is no other's, nor is the name
    :ivar deleted: nobody can make servers of it any more
    """

    id: str
    flavor_id: str
    name: str
    ram_mib: int
    vcpus: int
    disk_gib: int
    description: str | None = None
    ephemeral_gib: int = 0
    swap_mib: int = 0
    rxtx_factor: float = 1.0
    is_public: bool = True
    disabled: bool = False
    deleted: bool = False
    extra_specs: Mapping[str, str] = {}
    created_us: int = 0
    updated_us: int = 0


@frozen(kw_only=True)
class ServerGroup:
    """
    Servers that are to be near each other, or apart.

    :ivar max_per_host: of anti-affinity: how many may share a host; None: one
    :ivar members: ids of its servers
    """

    id: str
    project_id: str
    user_id: str
    name: str
    policy: str
    max_per_host: int | None = None
    members: tuple[str, ...] = ()
    created_us: int = 0


@frozen
class Share:
    """
    What one server takes of its project's quotas.

    :ivar name: the server's, ``flavor`` the flavor's: for who asks what was used
    :ivar disk_gib: local disks, ephemeral ones too
    """

    server_id: str
    vcpus: int
    ram_mib: int
    disk_gib: int = 0
    name: str = ""
    flavor: str = ""


@frozen
class UsageTotal:
    """
    What all servers of a project have used in a time.

    :ivar vcpu_hours: hours times size, as the two behind it
    """

    project_id: str
    hours: float = 0.0
    vcpu_hours: float = 0.0
    ram_mib_hours: float = 0.0
    disk_gib_hours: float = 0.0


@frozen
class Usage:
    """
    What one server has used.

    :ivar ended_us: None: it goes on
    """

    share: Share
    project_id: str
    began_us: int
    ended_us: int | None
