"""A host that follows the cloud's records: real taps, pings and dnsmasq in namespaces, as root."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

from twisted.internet.threads import deferToThread

from cloudd.database import tables
from cloudd.network_agent import NetworkAgent, PlugRefused
from net import NetError
from tests.net.namespaces import Guest

from .house import NAME, AgentCase, later

_IP_FREEBIND = 15


class PlugTests(AgentCase):
    async def test_two_guests(self) -> None:
        """Ports of one group reach each other once they are plugged, and records say so; at last nothing is left."""
        before = self.host.run("ip -o link; ip route; nft list ruleset")
        network = await self.records.network()
        ports = [await self.records.port(network) for _ in range(2)]
        agent = self.agent()
        taps = await agent.plug(ports)
        self.assertEqual(taps, {port: f"{self.prefix}{port}"[:15] for port in ports})
        self.assertEqual([await self.records.status(port) for port in ports], ["ACTIVE"] * 2)
        first, second = (self.guest(agent, port) for port in ports)
        self.assertTrue(first.pings(second.fixed.address))
        state = self.state()
        self.assertEqual(await agent.plug(ports), taps)
        self.assertEqual(self.state(), state)
        await agent.unplug(ports)
        self.assertEqual(self.host.run("ip -o link; ip route; nft list ruleset"), before)
        self.assertEqual([await self.records.status(port) for port in ports], ["DOWN"] * 2)
        self.assertEqual(list(self.folder.iterdir()), [])
        await agent.unplug(ports)

    async def test_held_out_until_it_is_plugged_again(self) -> None:
        """What was unplugged stays out although it is bound; what is not bound here is refused by name."""
        network = await self.records.network()
        port = await self.records.port(network)
        other = await self.records.port(network, host="host-2")
        agent = self.agent()
        await agent.unplug([port])
        agent.lead()
        await agent.plug([])
        self.assertNotIn(port[:8], self.host.run("ip link"))
        await agent.plug([port])
        self.assertIn(port[:8], self.host.run("ip link"))
        refused: Any = await self.assertFailure(later(agent.plug([port, other])), PlugRefused)
        self.assertEqual(refused.port_id, other)
        self.assertIn("not bound to this host", refused.cause)

    async def test_one_of_several_cannot_be(self) -> None:
        """An address that another network's port has here, and a tap whose name is taken, stop nobody else."""
        first, second = await self.records.network(), await self.records.network()
        there = await self.records.port(first, "10.0.0.5")
        agent = self.agent()
        await agent.plug([there])
        doubled, other = await self.records.port(second, "10.0.0.5"), await self.records.port(second, "10.0.0.6")
        refused: Any = await self.assertFailure(later(agent.plug([doubled, other])), PlugRefused)
        self.assertEqual(refused.port_id, doubled)
        self.assertIn(f"10.0.0.5 is that of port {there}", refused.cause)
        self.assertEqual(await self.records.status(other), "ACTIVE")
        self.assertEqual(await self.records.status(doubled), "DOWN")
        (health,) = agent.health()
        self.assertIn(doubled, health.cause)
        self.assertTrue(health.ok)
        await self.records.drop(there)
        self.assertTrue(await agent.plug([doubled]))
        self.assertEqual(agent.health()[0].cause, "")

    async def test_the_hosts_own_network(self) -> None:
        """A tenant's subnet of the network that the host is on takes nothing from the host: it goes to no tap."""
        self.host.run("ip link add uplink type bridge; ip link set uplink up; ip addr add 198.51.100.2/24 dev uplink")
        neighbour = await self.records.port(await self.records.network("198.51.100.0/24"), "198.51.100.7")
        router = await self.records.network("203.0.113.0/24", gateway_ip="203.0.113.9")
        agent = self.agent()
        refused: Any = await self.assertFailure(later(agent.plug([neighbour])), PlugRefused)
        self.assertIn("198.51.100.7 is in 198.51.100.0/24, which is this host's own network", refused.cause)
        self.assertIn("dev uplink", self.host.run("ip route get 198.51.100.7"))
        await agent.plug([await self.records.port(router)])  # what it is not on may be anybody's
        self.host.run("ip addr add 203.0.113.9/32 dev uplink")
        agent.lead()
        await agent.plug([])
        self.assertNotIn("203.0.113.9/24", self.host.run("ip -o addr"))

    async def test_closed_to_guests(self) -> None:
        """Networks that the host is on are closed to guests, also one that it comes to be on later."""
        self.host.run("ip link add uplink type bridge; ip link set uplink up; ip addr add 198.51.100.2/24 dev uplink")
        agent = self.agent()
        await agent.plug([await self.records.port(await self.records.network())])
        listed = "nft list table inet cloudd-" + self.prefix
        self.assertIn("198.51.100.0/24", self.host.run(listed))
        self.host.run("ip addr add 203.0.113.9/24 dev uplink")
        agent.lead()
        await agent.plug([])
        self.assertIn("198.51.100.0/24, 203.0.113.0/24", self.host.run(listed))

    async def test_a_name_that_is_taken(self) -> None:
        """A link of somebody else in the place of a tap is told; when it goes, the port comes by itself."""
        network = await self.records.network()
        port, other = await self.records.port(network), await self.records.port(network)
        name = f"{self.prefix}{port}"[:15]
        self.host.run(f"ip link add {name} type bridge")
        agent = self.agent()
        agent.lead()
        refused: Any = await self.assertFailure(later(agent.plug([port, other])), PlugRefused)
        self.assertEqual(refused.port_id, port)
        self.assertIn("not ours", refused.next_step)
        self.assertFalse(agent.health()[0].ok)
        self.assertEqual(await self.records.status(other), "ACTIVE")
        self.host.run(f"ip link del {name}")
        await self.until(lambda: agent.health()[0].ok)
        await self.until(lambda: self.is_status(port, "ACTIVE"))


class FollowTests(AgentCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.group = await self.records.group()
        self.network = await self.records.network()
        self.ports = [await self.records.port(self.network, security_group_ids=(self.group,)) for _ in range(2)]
        self.led = self.agent()
        self.led.lead()
        await self.led.plug(self.ports)
        self.first, self.second = (self.guest(self.led, port) for port in self.ports)

    def reaches(self) -> bool:
        return self.first.pings(self.second.fixed.address)

    async def test_rules(self) -> None:
        """A rule takes effect when it is made, and none any more when it is dropped; also one that names a group."""
        self.assertFalse(self.reaches())
        for more in ({"protocol": "icmp"}, {"remote_group_id": self.group}):
            rule = await self.records.rule(self.group, **more)
            await self.until(self.reaches)
            await self.records.drop_rule(rule)
            await self.until(lambda: not self.reaches())

    async def test_members(self) -> None:
        """Who joins a group that a rule names is let in, from whichever host, and no more when it leaves."""
        friends = await self.records.group("friends")
        await self.records.rule(self.group, remote_group_id=friends)

        def members() -> str:
            return self.host.run(f"nft list set inet cloudd-{self.prefix} members4-{friends}", check=False)

        there = await self.records.port(self.network, "10.0.0.77", "host-2", security_group_ids=(friends,))
        await self.until(lambda: "10.0.0.77" in members())
        await self.records.drop(there)
        await self.until(lambda: "10.0.0.77" not in members())

    async def test_a_port_goes(self) -> None:
        """A port that is deleted, unbound or moved leaves nothing on the host, and the other one stays."""
        gone = self.ports[1]
        await self.records.rule(self.group, protocol="icmp")
        await self.until(self.reaches)
        await self.records.set(tables.port, gone, host="host-2")
        await self.until(lambda: gone[:8] not in self.host.run("ip link"))
        # The tap goes first; the firewall, open connections and DHCP follow.
        for look in ("ip route", "nft list ruleset", f"cat {self.folder}/hosts"):
            await self.until(lambda look=look: self.second.fixed.address not in self.host.run(look))  # type: ignore[misc]
        self.assertIn(self.ports[0][:8], self.host.run("ip link"))
        await self.records.set(tables.port, gone, host=NAME)
        await self.until(lambda: gone[:8] in self.host.run("ip link"))
        await self.records.drop(gone)
        await self.until(lambda: gone[:8] not in self.host.run("ip link"))

    async def test_networks_and_subnets(self) -> None:
        """MTU, name servers and turning off reach the host."""
        link = f"ip link show {self.prefix}{self.ports[0]}"[: len("ip link show ") + 15]
        await self.records.set(tables.network, self.network, mtu=1400)
        await self.until(lambda: "mtu 1400" in self.host.run(link))
        (subnet,) = self.led._view.records.subnets  # type: ignore[union-attr]
        await self.records.set(tables.subnet, subnet, dns_nameservers='["9.9.9.9"]')
        await self.until(lambda: "9.9.9.9" in (self.folder / "options").read_text())
        await self.records.set(tables.port, self.ports[0], admin_state_up=False)
        await self.until(lambda: self.is_status(self.ports[0], "DOWN"))
        self.assertNotIn(self.first.fixed.address, self.host.run("ip route"))

    async def test_put_right(self) -> None:
        """Tables flushed by hand and a dnsmasq that was killed come back by themselves."""
        await self.records.rule(self.group, protocol="icmp")
        await self.until(self.reaches)
        rules = self.host.run("nft list ruleset")
        self.host.run("nft flush ruleset")
        await self.until(lambda: self.host.run("nft list ruleset") == rules)
        pid = self.dnsmasq()
        assert pid
        os.kill(pid, signal.SIGKILL)
        await self.until(lambda: self.dnsmasq() not in (None, pid))
        self.assertTrue(self.reaches())

    async def test_settings_below_proc(self) -> None:
        """What nobody tells of is found by the look at everything."""
        place = f"/proc/sys/net/ipv4/conf/{self.prefix}{self.ports[0]}"[: len("/proc/sys/net/ipv4/conf/") + 15]
        self.host.run(f"echo 0 > {place}/proxy_arp")
        self.led._repair()
        await self.until(lambda: self.host.run(f"cat {place}/proxy_arp") == "1\n")


class GenerationTests(AgentCase):
    async def plugged(self, count: int) -> tuple[NetworkAgent, list[str]]:
        network = await self.records.network()
        ports = [await self.records.port(network) for _ in range(count)]
        agent = self.agent()
        agent.lead()
        await agent.plug(ports)
        return agent, ports

    async def test_one_after_the_other(self) -> None:
        """A generation that ends and the next one that begins write nothing."""
        agent, ports = await self.plugged(2)
        state = self.state()
        agent.retire()
        await agent.rest()
        following = self.agent()
        following.lead()
        await following.plug(ports)
        self.assertEqual(self.state(), state)

    async def test_both_at_one_time(self) -> None:
        """While two generations plug in turn, neither takes away what the other has made; nor when one ends."""
        agent, ports = await self.plugged(1)
        other = self.agent(self.house.database())
        network = await self.records.network("10.1.0.0/24")
        for turn in range(6):
            port = await self.records.port(network)
            ports.append(port)
            await (agent, other)[turn % 2].plug([port])
            agent._look()
            links, rules = self.host.run("ip link"), self.host.run("nft list ruleset")
            for each in ports:
                self.assertIn(each[:8], links)
                self.assertIn(f"{self.prefix}{each}"[:15], rules)
        agent.retire()
        await agent.rest()
        other.lead()
        state = self.state()
        await other.plug(ports)
        self.assertEqual(self.state(), state)

    async def test_many_at_once(self) -> None:
        """What is asked for meanwhile shares a round; each is there when it is said."""
        network = await self.records.network()
        ports = [await self.records.port(network) for _ in range(12)]
        agent = self.agent()
        plugs = [later(agent.plug([port])) for port in ports]
        for port, plug in zip(ports, plugs, strict=True):
            self.assertEqual(await plug, {port: f"{self.prefix}{port}"[:15]})
            self.assertIn(port[:8], self.host.run("ip link"))


class MetadataTests(AgentCase):
    async def test_reached(self) -> None:
        """Who listens there before there is a port is reached by guests at the usual address, and sees who asks."""
        server = self.host.call(_listening)
        self.addCleanup(server.close)
        port = await self.records.port(await self.records.network())
        agent = self.agent()
        await agent.plug([port])
        guest = self.guest(agent, port)
        asked = deferToThread(_answer, server)
        said = deferToThread(guest.run, "busybox wget -q -O - http://169.254.169.254/latest")
        self.assertEqual(await asked, guest.fixed.address)
        self.assertEqual(await said, "metadata")


def _listening() -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)
    made.bind(("169.254.169.250", 8775))
    made.listen()
    return made


def _answer(server: socket.socket) -> str:
    """Answer one request over HTTP; who asked."""
    with server.accept()[0] as connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\nmetadata")
        return str(connection.getpeername()[0])


class DhcpTests(AgentCase):
    def ask(self, guest: Guest) -> str:
        return guest.run("busybox udhcpc -i eth0 -f -q -n -t 5 -T 1 -s /bin/true 2>&1", check=False)

    async def test_without_a_gateway(self) -> None:
        """A subnet without a gateway is served from an address that a port of its own keeps, and can be deleted."""
        network = await self.records.network(gateway_ip=None)
        port = await self.records.port(network)
        agent = self.agent()
        await agent.plug([port])
        fixed = self.planned(agent, port).fixed_ips[0]
        self.assertIsNone(fixed.gateway)
        self.assertIsNotNone(fixed.dhcp_server)
        guest = self.host.guest(self.planned(agent, port), self.prefix)
        self.assertIn(f"lease of {fixed.address} obtained", self.ask(guest))
        await self.records.drop(port)
        await self.records.drop_subnet_of(network)

    async def test_refused_by_the_host(self) -> None:
        """Where dnsmasq cannot start nothing is said to be plugged, and health says what to do; then it comes."""
        port = await self.records.port(await self.records.network())
        agent = self.agent()
        agent.lead()
        (self.folder / "configuration").mkdir()
        error: Any = await self.assertFailure(later(agent.plug([port])), NetError)
        self.assertIn("dnsmasq", error.cause)
        (health,) = agent.health()
        self.assertFalse(health.ok)
        self.assertIn(f"ls -l {self.folder}", health.cause)
        # What is committed meanwhile does not try it again; the clock does.
        await self.records.network()
        for call in (agent._follow, agent._look, agent._repair):
            call()
            self.assertIsNone(agent._rounds)
        self.assertEqual(await self.records.status(port), "DOWN")
        (self.folder / "configuration").rmdir()
        await self.until(lambda: agent.health()[0].ok)
        await self.until(lambda: self.is_status(port, "ACTIVE"))
