"""
How long a host takes to get its network: ``python -m bench.data_plane [--ports 1000]``, as root.

Works in a network namespace of its own, which ends with it.  Prints JSON: seconds of wall and of CPU, the kernel's on
behalf of the process included, for all ports from nothing, for the same plan again, for one port plugged and unplugged
(the mean of twenty), for a repair and the longest that it kept a change waiting, and for the way back.  Then the pings
that two guests lose, one each millisecond, while what applies the plan is killed -9 and started again, and while 100
other ports are plugged.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from net import EGRESS, INGRESS, Change, Dhcp, FixedIP, Group, HostNetwork, Plan, Port, Rule, Update, tap_name

GATEWAY = "10.0.255.254"
TIMES = 20


def port(number: int) -> Port:
    fixed = FixedIP(address=f"10.0.{number >> 8}.{number & 255}", prefix_length=16, gateway=GATEWAY)
    mac = f"fa:16:3e:00:{number >> 8:02x}:{number & 255:02x}"
    return Port(id=f"{number:08x}-0000-4000-8000-000000000000", mac=mac, fixed_ips=(fixed,), group_ids=("bench",))


def group(count: int) -> Group:
    """Of which all ports are members, as of a tenant's default group."""
    rules = (
        Rule(direction=EGRESS),
        Rule(direction=INGRESS, protocol="icmp"),
        Rule(direction=INGRESS, protocol="tcp", remote_group_id="bench"),
    )
    members = frozenset(f"10.0.{number >> 8}.{number & 255}" for number in range(1, count + 1))
    return Group(id="bench", rules=rules, members=members)


def plan(count: int) -> Plan:
    return Plan(ports=tuple(map(port, range(1, count + 1))), groups=(group(count),))


def _measured(do: Callable[[], object], times: int = 1) -> dict[str, float]:
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(times):
        do()
    return {
        "wall_s": round((time.perf_counter() - wall) / times, 4),
        "cpu_s": round((time.process_time() - processor) / times, 4),
    }


def _one_port(network: HostNetwork, count: int) -> dict[str, dict[str, float]]:
    """One port more and one less than ``count``, with the group's members told of each time."""
    plugs, unplugs = [], []
    for number in range(count + 1, count + 1 + TIMES):
        more = Update(ports=(port(number),), groups=(group(number),))
        less = Update(gone_ports={port(number).id}, groups=(group(count),))
        plugs.append(_measured(lambda more=more: network.change(more)))  # type: ignore[misc]
        unplugs.append(_measured(lambda less=less: network.change(less)))  # type: ignore[misc]
    return {"plug": _mean(plugs), "unplug": _mean(unplugs)}


def _dhcp(count: int) -> dict[str, float]:
    """One port more to serve, without dnsmasq's own reading of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # The user that dnsmasq becomes reads here.
        folder.chmod(0o755)
        dhcp = Dhcp(folder)
        dhcp.apply(plan(count))
        numbers = iter(range(count + 1, count + 1 + TIMES))
        result = _measured(lambda: dhcp.change(Update(ports=(port(next(numbers)),))), TIMES)
        dhcp.apply(Plan())
        return result


def _mean(measured: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(sum(each[name] for each in measured) / len(measured), 4) for name in measured[0]}


def _repair(network: HostNetwork) -> dict[str, float]:
    """With a thread that asks for a change all the time; ``longest_wait_s`` is its longest."""
    waits: list[float] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            began = time.perf_counter()
            network.change(Update())
            waits.append(time.perf_counter() - began)
            ended.wait(0.01)

    alone = _measured(network.repair)
    asking = threading.Thread(target=ask)
    asking.start()
    network.repair()
    ended.set()
    asking.join()
    return {**alone, "longest_wait_s": round(max(waits), 4)}


class Guests:
    """Two guests at the first two ports, of which one asks the other for an echo each millisecond."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []
        ports = [port(1), port(2)]
        paths = [self._guest(each) for each in ports]
        self._pinger = self._begin("nsenter", f"--net={paths[0]}", sys.executable, "-m", "tests.net.pinger", "10.0.0.2")
        self._more()

    def finished(self) -> dict[str, int]:
        self._more()
        assert self._pinger.stdin and self._pinger.stdout
        self._pinger.stdin.close()
        sent, lost = self._pinger.stdout.readline().split()
        for process in self._processes:
            process.kill()
            process.wait()
        return {"sent": int(sent), "lost": int(lost)}

    def _more(self) -> None:
        assert self._pinger.stdin and self._pinger.stdout
        self._pinger.stdin.write("100\n")
        self._pinger.stdin.flush()
        self._pinger.stdout.readline()

    def _guest(self, at: Port) -> str:
        process = self._begin(sys.executable, "-m", "tests.net.guest", tap_name("cld", at.id), at.mac)
        assert process.stdout
        process.stdout.readline()
        path = f"/proc/{process.pid}/ns/net"
        for command in (f"addr add {at.fixed_ips[0].address}/16 dev eth0", f"route add default via {GATEWAY}"):
            subprocess.run(["nsenter", f"--net={path}", "ip", *command.split()], check=True)
        return path

    def _begin(self, *command: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._processes.append(process)
        return process


def _killed(count: int) -> dict[str, int]:
    """Five times a process begins to plug ten ports and is killed -9 in the middle; another applies the same plan."""
    guests = Guests()
    for step in range(1, 6):
        command = [sys.executable, "-m", "bench.data_plane", "--apply", str(count + 10 * step)]
        broken = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert broken.stdout
        for _ in range(7 * step):
            broken.stdout.readline()
        broken.kill()
        broken.wait()
        broken.stdout.close()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return guests.finished()


def _plugged(network: HostNetwork, count: int) -> dict[str, int]:
    network.apply(plan(count))
    guests = Guests()
    for number in range(count + 1, count + 101):
        network.change(Update(ports=(port(number),), groups=(group(number),)))
    return guests.finished()


def apply_and_say(count: int) -> None:
    """Each change is a line."""

    def say(change: Change) -> None:
        sys.stdout.write(f"{change.what}\n")
        sys.stdout.flush()

    HostNetwork(on_change=say).apply(plan(count))


def main(count: int) -> None:
    if ctypes.CDLL(None).unshare(0x40000000):
        raise SystemExit("A namespace cannot be made: run this as root.")
    network = HostNetwork()
    result: dict[str, object] = {"ports": count}
    result["all"] = _measured(lambda: network.apply(plan(count)))
    result["again"] = _measured(lambda: network.apply(plan(count)))
    result["idle_change"] = _measured(lambda: network.change(Update()), TIMES)
    result |= _one_port(network, count)
    result["dhcp_plug"] = _dhcp(count)
    result["repair"] = _repair(network)
    result["pings_while_killed"] = _killed(count)
    result["pings_while_plugging"] = _plugged(network, count)
    result["none"] = _measured(lambda: network.apply(Plan()))
    network.close()
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--ports", type=int, default=1000, help="1 to 60000")
    arguments.add_argument("--apply", type=int, help="apply the plan of so many ports here, and say each change")
    options = arguments.parse_args()
    if options.apply:
        apply_and_say(options.apply)
    else:
        main(options.ports)
