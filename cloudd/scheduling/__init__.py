"""
Which host gets which server.

Servers are written with a task that finds hosts for them, in one transaction; the rest goes by itself::

    submit(connection, PLACE, {"servers": ids, "avoid": [], "tries": 0}, project_id=..., request_id=...)

In each worker::

    scheduling = Scheduling(resources)
    kinds = [*scheduling.task_kinds(), ...]                  # PLACE
    calls = {**scheduling.calls(), ...}                      # "scheduling.explain", for `cloudctl schedule`

A decision is a pure function (``decide``) of hosts as they were seen, what is asked for, and rules, which are
plug-ins (``cloudd.interfaces.scheduling``, found in ``cloudd.plugins``).  The transaction that writes a claim looks
again whether there is room, so it does not matter how old the picture is.  ``docs/scheduling.md`` tells operators more.
"""

from ._asked import placement
from ._decision import Decision, Removed, Rules, decide, filtered, weigh
from ._explain import Asked, CannotExplain, explain
from ._filters import FILTERS, Filter
from ._picture import Picture, read_hosts
from ._place import HostsChange, HostsSilent, place_kind
from ._placing import Order, Placed, place
from ._plugins import PluginMissing, Plugins, find_plugins
from ._refusal import Refusal, refusal
from ._service import Scheduling, rules_of
from ._weighers import WEIGHERS, Weigher

__all__ = [
    "FILTERS",
    "WEIGHERS",
    "Asked",
    "CannotExplain",
    "Decision",
    "Filter",
    "HostsChange",
    "HostsSilent",
    "Order",
    "Picture",
    "Placed",
    "PluginMissing",
    "Plugins",
    "Refusal",
    "Removed",
    "Rules",
    "Scheduling",
    "Weigher",
    "decide",
    "explain",
    "filtered",
    "find_plugins",
    "place",
    "place_kind",
    "placement",
    "read_hosts",
    "refusal",
    "rules_of",
    "weigh",
]
