"""
Play the faults of the tests one after the other, and tell how long each takes to be over and what clients see.

    python -m bench.faults [--only PATTERN] [--list]

Prints a line for each fault on standard error and one JSON object at the end: for each fault ``result``, ``rollback_s``
(from the fault until it was known everywhere which code serves, with a killed anchor until a restarted one knew; for
bad code from its first answer on, 0 where it gave none),
``new_code_s`` (from the fault to the last answer of code that does not serve in the end), ``longest_pause_ms`` (of a
client that asks every 2 ms on one connection) and ``lost`` (connections, of 15, that died with a killed process).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any

from tests.daemon.faults import SETTINGS, SUPERVISED_SETTINGS, Fault, Played, TrappedCloud, play
from tests.daemon.test_handover_faults import HAND_OVER_FAULTS, SUPERVISED
from tests.daemon.test_swap_faults import SWAP_FAULTS


def run(faults: list[Fault], settings: str) -> list[dict[str, Any]]:
    """Each on the daemon that the one before has left whole; on a new one where it has not."""
    rows: list[dict[str, Any]] = []
    cloud: TrappedCloud | None = None
    for fault in faults:
        try:
            if cloud is None:
                cloud = TrappedCloud(settings)
                cloud.start()
            row = told(play(cloud, fault))
        except AssertionError as error:
            row = {"fault": fault.name, "how": fault.how, "result": "not survived", "error": str(error)[:2000]}
            if cloud is not None:
                cloud.remove()
            cloud = None
        print(json.dumps(row)[:300], file=sys.stderr, flush=True)
        rows.append(row)
    if cloud is not None:
        cloud.remove()
    return rows


def told(played: Played) -> dict[str, Any]:
    """One row."""
    return {
        "fault": played.fault.name,
        "how": played.fault.how,
        "result": f"{played.fault.serves} code serves" if not played.wrong else "connections were lost",
        "rollback_s": played.rollback_s,
        "new_code_s": played.answered_s,
        "longest_pause_ms": round(played.pause_s * 1000, 1),
        "lost": len(played.lost),
        "wrong": played.wrong,
        "cause": (played.outcome or {"cause": ""})["cause"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a pattern of names, as --list shows them")
    parser.add_argument("--list", action="store_true", help="only name them")
    arguments = parser.parse_args()
    groups = [([*SWAP_FAULTS, *HAND_OVER_FAULTS], SETTINGS), (SUPERVISED, SUPERVISED_SETTINGS)]
    wanted = [
        ([fault for fault in faults if re.search(arguments.only, f"{fault.how}: {fault.name}")], settings)
        for faults, settings in groups
    ]
    if arguments.list:
        print("\n".join(f"{fault.how}: {fault.name}" for faults, _ in wanted for fault in faults))
        return 0
    rows = [row for faults, settings in wanted for row in run(faults, settings)]
    print(json.dumps({"faults": rows}, indent=1))
    return 0 if all("serves" in row["result"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
