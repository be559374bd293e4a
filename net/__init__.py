"""
The network of one host: what it is to be as values, and what brings the host there.

Everything is asked for at once; ``apply`` finds the difference and makes it::

    network = HostNetwork()
    plan = Plan(ports=(Port(id=..., mac=..., fixed_ips=(FixedIP(address=..., prefix_length=24, gateway=...),)),))
    applied = network.apply(plan)  # blocks; a second call changes nothing

See ``docs/data-plane.md`` for what is made, and how to look at it by hand.
"""

from ._changes import Change
from ._dnsmasq import Dhcp
from ._errors import BadPlan, NetError
from ._host import Applied, HostNetwork, Observed
from ._needs import what_is_missing
from ._taps import Tap, tap_name
from ._values import (
    EGRESS,
    INGRESS,
    IPV6_MTU,
    AddressPair,
    FixedIP,
    Group,
    HostRoute,
    Metadata,
    Plan,
    Port,
    Rule,
    Update,
    eui_64,
)

__all__ = [
    "EGRESS",
    "INGRESS",
    "IPV6_MTU",
    "AddressPair",
    "Applied",
    "BadPlan",
    "Change",
    "Dhcp",
    "FixedIP",
    "Group",
    "HostNetwork",
    "HostRoute",
    "Metadata",
    "NetError",
    "Observed",
    "Plan",
    "Port",
    "Rule",
    "Tap",
    "Update",
    "eui_64",
    "tap_name",
    "what_is_missing",
]
