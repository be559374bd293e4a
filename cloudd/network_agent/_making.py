# -*- test-case-name: tests.network_agent.test_making -*-
"""Whether a host can have a data plane, and the agent that the settings ask for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from cloudd.interfaces.application import Resources
from cloudd.interfaces.settings import NetworkSettings
from net import Dhcp, HostNetwork, Metadata, what_is_missing

from ._agent import NetworkAgent
from ._no_data_plane import NoDataPlane
from ._plane import Plane
from ._thread import OneThread
from ._view import View

RUN: Final = Path("/run")
LOCK: Final = Path("network") / "turn"
"""In the state folder."""


def network_agent(
    resources: Resources,
    own_node: Callable[[], Awaitable[str]],
    without: str = "",
    begin: Callable[[], None] = lambda: None,
) -> NetworkAgent | NoDataPlane:
    """
    What plugs ports here, by ``[network] data_plane``.  Blocks for as long as it takes to load a library.

    :param own_node: gives the id of this node
    :param without: why servers here need no data plane; empty: they do
    :param begin: called first in the agent's thread, for tests: it may enter a network namespace
    """
    settings = resources.settings.network
    reason = ""
    if settings.data_plane == "off":
        reason = "[network] data_plane is off"
    elif settings.data_plane == "auto":
        reason = without or _missing()
    if reason:
        return NoDataPlane(resources, own_node, reason)

    def build(node_id: str) -> tuple[View, Plane]:
        prefix = prefix_of(node_id)
        dhcp = Dhcp(folder_of(settings, prefix), prefix)
        view = View(prefix, _metadata(settings), closes=not settings.reach_host_networks)
        return view, Plane(HostNetwork(prefix), dhcp, resources.settings.state / LOCK)

    return NetworkAgent(resources, own_node, build, OneThread(resources.reactor, begin))


def prefix_of(node_id: str) -> str:
    """What names of taps on a node begin with: clouds that share a machine do not take each other's for their own."""
    return f"c{hashlib.sha256(node_id.encode()).hexdigest()[:4]}"


def folder_of(settings: NetworkSettings, prefix: str) -> Path:
    """dnsmasq's: the user that it becomes has to read there, so it is not in the state folder."""
    return Path(settings.folder) if settings.folder else RUN / f"cloudd-{prefix}"


def _metadata(settings: NetworkSettings) -> Metadata | None:
    if not settings.metadata_port:
        return None
    return Metadata(settings.metadata_address, settings.metadata_port, own_link=True)


def _missing() -> str:
    if os.geteuid() != 0:
        return "the daemon does not run as root"
    return what_is_missing()
