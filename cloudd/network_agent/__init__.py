"""
What a host does for its ports: taps, routes, firewall and DHCP as the cloud's records say, by ``net``.

A port is of a host when its record names the host and a device.  Whoever runs servers binds ports and plugs them::

    agent = network_agent(resources, own_node)
    agent.lead()  # in the agent's worker: applies all that there is, then follows the records
    taps = await agent.plug([port_id])  # all of it is there now
    await agent.unplug([port_id])  # and then the record is unbound or deleted

``NoDataPlane`` has the same face where a host has none; both pass ``tests.contracts.plugging``.  Afterwards records say
``ACTIVE`` of ports that are plugged and ``DOWN`` of others.  See ``docs/data-plane.md``.
"""

from ._agent import NetworkAgent
from ._errors import PlugRefused
from ._gather import UnknownNode
from ._making import network_agent, prefix_of
from ._no_data_plane import NoDataPlane

__all__ = ["NetworkAgent", "NoDataPlane", "PlugRefused", "UnknownNode", "network_agent", "prefix_of"]
