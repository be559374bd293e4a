# -*- test-case-name: tests.nodes.test_service -*-
"""Where a node listens for others, and where they reach it."""

from __future__ import annotations

import re

from attrs import frozen

from cloudd.interfaces.settings import NodeSettings

from ._errors import NodeError

_EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104  # of no use to others
_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")


@frozen
class Place:
    """
    :ivar interface: the IP address that is bound
    :ivar address: ``HOST:PORT`` for others; empty: it cannot be told from the endpoint
    """

    port: int
    interface: str
    address: str

    @property
    def host(self) -> str:
        """Of the address, without brackets."""
        return self.address.rpartition(":")[0].strip("[]")


def place_of(settings: NodeSettings) -> Place | None:
    """
    From ``[nodes] listen`` and ``address``; None: nowhere.

    :raises NodeError: it cannot be read
    """
    if not settings.listen:
        return None
    kind, *rest = (part.replace("\0", ":") for part in settings.listen.replace("\\:", "\0").split(":"))
    options = dict(part.split("=", 1) for part in rest if "=" in part)
    plain = [part for part in rest if "=" not in part]
    port = options.pop("port", "") or (plain.pop(0) if plain else "")
    interface = options.pop("interface", "")
    if kind not in {"tcp", "tcp6"} or options or plain or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65_535:
        raise NodeError(f'nodes.listen is {settings.listen!r}: write "tcp:5010:interface=ADDRESS"; TLS is always on')
    if settings.address and not _ADDRESS.fullmatch(settings.address):
        raise NodeError(f'nodes.address is {settings.address!r}: write "HOST:PORT", an IPv6 address in brackets')
    told = f"[{interface}]:{port}" if ":" in interface else f"{interface}:{port}"
    address = settings.address or ("" if interface in _EVERYWHERE else told)
    if kind == "tcp6" and not interface:
        interface = "::"
    return Place(int(port), interface, address)
