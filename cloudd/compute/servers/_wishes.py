# -*- test-case-name: tests.protocols.rest.compute.test_server_create -*-
"""What a request for new servers asks for, as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import evolve, field, frozen

from ._facts import MANUAL, WantedNetwork

MAX_SERVERS: Final = 1_000  # of one request


@frozen(kw_only=True)
class NewServers:
    """
    Equal servers that one request asks for; its form was checked.

    :ivar flavor_id: as in the API
    :ivar least: so many, else none; at most ``most`` as far as the quota allows
    :ivar networks: None: the one that there is; empty: none
    :ivar needs_network: None of them is no answer where there is none
    :ivar security_groups: names or ids
    :ivar files: path and content in base64
    :ivar host: name of the one that is to have it, for administrators; empty: any
    """

    name: str
    flavor_id: str
    image_id: str
    description: str | None = None
    least: int = 1
    most: int = 1
    key_name: str | None = None
    user_data: str | None = None
    files: tuple[tuple[str, str], ...] = ()
    items: Mapping[str, str] = field(factory=dict)
    tags: tuple[str, ...] = ()
    hints: Mapping[str, object] = field(factory=dict)
    networks: tuple[WantedNetwork, ...] | None = None
    needs_network: bool = False
    security_groups: tuple[str, ...] = ()
    sealed_password: str | None = field(default=None, repr=False)
    config_drive: bool = False
    zone: str = ""
    host: str = ""
    disk_config: str = MANUAL
    access_ip_v4: str = ""
    access_ip_v6: str = ""

    def with_password(self, sealed: str) -> NewServers:
        """
        :param sealed: of their administrator
        """
        return evolve(self, sealed_password=sealed)
