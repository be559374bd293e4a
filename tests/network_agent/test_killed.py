"""What applies a host's network is killed -9 at any moment and started again: guests notice nothing."""

from __future__ import annotations

import subprocess
import sys

from tests.net.namespaces import end

from .house import AgentCase


class KilledTests(AgentCase):
    def process(self) -> subprocess.Popen[str]:
        """An agent of this host, as a process of its own."""
        places = (self.house.place, self.house.folder, self.folder, self.host.path)
        command = [sys.executable, "-m", "tests.network_agent.process"]
        command += [str(place.absolute()) if hasattr(place, "absolute") else place for place in places]
        made = subprocess.Popen(command, text=True)
        self.addCleanup(end, made)
        return made

    def taps(self) -> int:
        return self.host.run("ip -o link").count(f": {self.prefix}")

    async def test_in_the_middle_of_plugging(self) -> None:
        """No ping is lost and no port doubled or forgotten; who comes last makes the rest, and then writes nothing."""
        group = await self.records.group()
        await self.records.rule(group, protocol="icmp")
        network = await self.records.network()
        ports = [await self.records.port(network, security_group_ids=(group,)) for _ in range(2)]
        first = self.agent()
        await first.plug(ports)
        guests = [self.guest(first, port) for port in ports]
        await first.rest()
        pings = guests[0].ping_on(guests[1].fixed.address)
        pings.more(20)
        for more in range(4):
            # Bound, and told of at once: it is killed while it makes the first, the second, .. of them.
            ports += [await self.records.port(network) for _ in range(5)]
            process = self.process()
            wanted = self.taps() + more
            await self.until(lambda: self.taps() > wanted)  # noqa: B023 - called at once
            end(process)
            pings.more(20)
        last = self.agent()
        taps = await last.plug(ports)
        self.assertEqual(len(set(taps.values())), 22)
        self.assertEqual(self.taps(), 22)
        self.assertEqual({await self.records.status(port) for port in ports}, {"ACTIVE"})
        pings.more(20)
        state = self.state()
        following = self.agent()
        following.lead()
        await following.plug(ports)
        self.assertEqual(self.state(), state)
        sent, lost = pings.finished()
        self.assertEqual(lost, 0, f"of {sent}")
