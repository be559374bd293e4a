"""
Nodes: the machines of a cloud, who of them does what, and whom they let in.

Each machine's agent says every few seconds that it is there, in a row of the control database; there is no other
consensus.  Every time is the database's::

    nodes = Nodes(resources, tasks, tasks.readable)           # in each worker; the agent's speaks for its machine

    async def sweep(holder: Holder) -> None:                  # by one node at a time, whatever is killed
        while names := await find():
            await holder.write(delete, names)                 # fenced: refused once the duty is somebody else's

    nodes.duty("objects.sweep", sweep, every_s=60.0)          # before lead()
    nodes.start({})
    nodes.lead()

    version = (await nodes.read_pins()).emits(form.name, form.emits, form.readable)

``docs/nodes.md`` has states, times and how a machine joins.  This package knows no service.
"""

from ._address import Place
from ._admission import Admission
from ._duty import Duty, Holder
from ._errors import (
    AuthorityUnavailable,
    DutyLost,
    JoinRefused,
    NodeError,
    NoSuchNode,
    WrongNodeState,
)
from ._forms import MESSAGES
from ._orders import Orders
from ._pins import Pins
from ._releases import Release
from ._releases import begin as begin_release
from ._releases import end as end_release
from ._releases import latest as latest_release
from ._releases import opened as open_release
from ._rows import Node
from ._rows import nodes as node_rows
from ._rows import standings as node_standings
from ._service import Nodes
from ._tls import Credentials
from ._topic import NodeTopic

__all__ = [
    "MESSAGES",
    "Admission",
    "AuthorityUnavailable",
    "Credentials",
    "Duty",
    "DutyLost",
    "Holder",
    "JoinRefused",
    "NoSuchNode",
    "Node",
    "NodeError",
    "NodeTopic",
    "Nodes",
    "Orders",
    "Pins",
    "Place",
    "Release",
    "WrongNodeState",
    "begin_release",
    "end_release",
    "latest_release",
    "node_rows",
    "node_standings",
    "open_release",
]
