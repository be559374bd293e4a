"""
How long a host takes to get its network: ``python -m bench.data_plane [--ports 1000]``, as root.

Works in a network namespace of its own, which ends with it.  Prints JSON: seconds of wall and of CPU for all ports from
nothing, for the same plan again, for one more port, and for the way back.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
import time

from net import EGRESS, INGRESS, FixedIP, Group, HostNetwork, Plan, Port, Rule

GATEWAY = "10.0.255.254"


def _port(number: int) -> Port:
    fixed = FixedIP(address=f"10.0.{number >> 8}.{number & 255}", prefix_length=16, gateway=GATEWAY)
    mac = f"fa:16:3e:00:{number >> 8:02x}:{number & 255:02x}"
    return Port(id=f"{number:08x}-0000-4000-8000-000000000000", mac=mac, fixed_ips=(fixed,), group_ids=("bench",))


def _plan(count: int) -> Plan:
    rules = (Rule(direction=EGRESS), Rule(direction=INGRESS, protocol="tcp", first=22, last=22))
    return Plan(ports=tuple(_port(number) for number in range(1, count + 1)), groups=(Group(id="bench", rules=rules),))


def _measured(network: HostNetwork, plan: Plan) -> dict[str, float]:
    wall, processor = time.perf_counter(), time.process_time()
    changes = len(network.apply(plan).changes)
    return {
        "changes": changes,
        "wall_s": round(time.perf_counter() - wall, 4),
        "cpu_s": round(time.process_time() - processor, 4),
    }


def main(count: int) -> None:
    if ctypes.CDLL(None).unshare(0x40000000):
        raise SystemExit("A namespace cannot be made: run this as root.")
    network = HostNetwork()
    steps = {"all": count, "again": count, "one_more": count + 1, "none": 0}
    result = {name: _measured(network, _plan(ports)) for name, ports in steps.items()}
    sys.stdout.write(json.dumps({"ports": count, **result}, indent=2) + "\n")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--ports", type=int, default=1000, help="1 to 60000")
    main(arguments.parse_args().ports)
