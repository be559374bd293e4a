"""
What runs servers on a host: providers of ``cloudd.interfaces.servers.IServerDriver``.

A host without a hypervisor simulates its servers::

    driver = SimulatedDriver(reactor, state_folder / "simulated", threads)
    await driver.start(observe)
    await driver.define(guest)
    await driver.power_on(guest.id)

and a test lets it suffer, also from another process::

    write_play(folder, Play(latency_s={"power_on": 0.5}, failures=[Failure(call="define", times=2)]))
    crash(folder, guest.id)
    foreign(folder, "somebody-elses")
"""

from __future__ import annotations

from ._simulated import SimulatedDriver
from ._simulated_play import Failure, Play, write_play
from ._simulated_records import crash, foreign

__all__ = ["Failure", "Play", "SimulatedDriver", "crash", "foreign", "write_play"]
