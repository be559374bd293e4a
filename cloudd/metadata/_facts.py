# -*- test-case-name: tests.metadata.test_openstack -*-
"""What the documents of one server are made of."""

from __future__ import annotations

import base64
import binascii

from attrs import frozen

from cloudd.compute import Server
from cloudd.network import Attachment


@frozen(kw_only=True)
class GuestFacts:
    """
    :ivar attachments: its ports, in the order of its interfaces
    :ivar flavor_name: of what it was built of
    :ivar zone: where it is
    """

    server: Server
    attachments: tuple[Attachment, ...] = ()
    flavor_name: str = ""
    zone: str = ""

    @property
    def user_data(self) -> bytes | None:
        """As it was before it was put into base64; None: there is none."""
        return None if self.server.user_data is None else plain(self.server.user_data)

    def addresses(self, version: int) -> list[str]:
        """All of its addresses of an IP version."""
        return [
            ip.ip_address
            for each in self.attachments
            for ip in each.port.fixed_ips
            if each.subnets[ip.subnet_id].ip_version == version
        ]

    @property
    def group_names(self) -> list[str]:
        """Of its security groups, each once."""
        return sorted({group.name for each in self.attachments for group in each.groups})


def plain(encoded: str) -> bytes:
    """
    What is in base64; text that is none is given as it stands: it was accepted once, and a guest may understand it.
    """
    try:
        return base64.b64decode(encoded)
    except (binascii.Error, ValueError):
        return encoded.encode("utf-8", "surrogateescape")
