"""
Be the agent of a host until it is killed: ``python -m tests.network_agent.process DATABASE STATE DHCP NAMESPACE``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor

from cloudd.database import open_control_database
from cloudd.interfaces.application import Resources
from cloudd.interfaces.settings import NetworkSettings, Settings
from cloudd.network_agent import NetworkAgent, network_agent

from .house import enter, own_node


def main(database: str, state: str, dhcp: str, namespace: str) -> None:
    place = database if "://" in database else Path(database)
    resources = Resources(
        reactor=reactor, settings=Settings(state=Path(state), network=NetworkSettings(data_plane="on", folder=dhcp)),
        threads=cast(Any, None), database=open_control_database(place, reactor=reactor), metrics=cast(Any, None),
        object_index=cast(Any, None), host=cast(Any, None), role="agent", generation=1, urls={}, secrets=Path(state),
    )  # fmt: skip
    agent = network_agent(resources, own_node, begin=lambda: enter(namespace))
    assert isinstance(agent, NetworkAgent)
    agent.lead()
    cast(Any, reactor).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
