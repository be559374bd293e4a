"""
How long it takes to decide where servers run, over many simulated hosts.

    python -m bench.scheduling [--hosts 10000] [--rounds 200] [--servers 1] [--zone z1] [--most-ms 5]

Hosts differ in size and in what is taken of them; they are in four zones.  Prints one JSON object: milliseconds of one
decision as the clock has them (``p50_ms``, ``p99_ms``) and of processor time (``cpu_...``), the latter also of one that
no host is left for (``refused_cpu_p50_ms``) and of a request for 1,000 servers (``thousand_cpu_ms``).  With
``--most-ms`` the exit status is 1 where ``cpu_p50_ms`` is more: it hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence

from attrs import evolve

from cloudd.interfaces.scheduling import HostPicture, Need, Placement
from cloudd.scheduling import Decision, decide, find_plugins, refusal

ZONES = 4
SEED = 1


def simulated(count: int) -> list[HostPicture]:
    """So many hosts, the same in each run."""
    chance = random.Random(SEED)
    return [_host(number, chance) for number in range(count)]


def _host(number: int, chance: random.Random) -> HostPicture:
    vcpus, left = chance.choice((64, 128, 256)), chance.random()
    return HostPicture(
        node_id=f"{number:032x}",
        name=f"c{number}",
        zone=f"z{number % ZONES}",
        is_enabled=chance.random() > 0.01,
        trouble="" if chance.random() > 0.01 else "its node is silent",
        vcpus=vcpus,
        memory_mib=vcpus * 4096,
        disk_gib=vcpus * 20,
        free_vcpus=int(vcpus * left),
        free_memory_mib=int(vcpus * 4096 * left * chance.uniform(0.8, 1.2)),
        free_disk_gib=int(vcpus * 20 * left),
    )


def measured(call: Callable[[], object], rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds that each call took, and milliseconds of processor time; each sorted."""
    walls, processors = [], []
    for _ in range(rounds):
        wall, processor = time.perf_counter(), time.process_time()
        call()
        processors.append((time.process_time() - processor) * 1000)
        walls.append((time.perf_counter() - wall) * 1000)
    return sorted(walls), sorted(processors)


def run(options: argparse.Namespace) -> dict[str, float]:
    """All figures."""
    rules = find_plugins().rules((), {})
    hosts = simulated(options.hosts)
    asked = Placement(need=Need(vcpus=4, memory_mib=8192, disk_gib=40), project_id="p", zone=options.zone)
    impossible = evolve(asked, need=evolve(asked.need, vcpus=100_000))

    def decided(placement: Placement, count: int) -> Decision:
        return decide(hosts, placement, count, rules)

    def refused() -> None:
        refusal(decided(impossible, 1), impossible, rules)

    walls, processors = measured(lambda: decided(asked, options.servers), options.rounds)
    return {
        "hosts": options.hosts,
        "servers": options.servers,
        "p50_ms": _at(walls, 0.5),
        "p99_ms": _at(walls, 0.99),
        "cpu_p50_ms": _at(processors, 0.5),
        "cpu_p99_ms": _at(processors, 0.99),
        "refused_cpu_p50_ms": _at(measured(refused, options.rounds)[1], 0.5),
        "thousand_cpu_ms": _at(measured(lambda: decided(asked, 1000), 5)[1], 0.5),
    }


def _at(times: Sequence[float], share: float) -> float:
    return round(times[int((len(times) - 1) * share)], 3)


def arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--servers", type=int, default=1, help="of one request")
    parser.add_argument("--zone", default="", help="z0 to z3; empty: any")
    parser.add_argument("--most-ms", type=float, default=0.0)
    return parser.parse_args(words)


def main(words: Sequence[str]) -> int:
    """1: a decision takes too long."""
    options = arguments(words)
    found = run(options)
    print(json.dumps(found))
    return int(bool(options.most_ms) and found["cpu_p50_ms"] > options.most_ms)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
