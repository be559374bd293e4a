"""
Idle memory of a whole cloudd: PSS (shared pages divided among their users) of the anchor and all its children.

    python -m bench.memory [--front 0] [--seconds 5]

Prints one JSON object, MiB per process and in total.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from tests.running_cloud import RunningCloud


def children(pid: int) -> list[int]:
    """The process and everything below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += children(int(child))
    return found


def pss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    cloud = RunningCloud(f"[workers]\nfront = {options.front}\n")
    try:
        cloud.start()
        time.sleep(options.seconds)
        assert cloud.process is not None
        found = {}
        for pid in children(cloud.process.pid):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().split()
            found[f"{pid} {' '.join(words[-6:])[-60:]}"] = round(pss_kib(pid) / 1024, 1)
    finally:
        cloud.remove()
    return {"processes": found, "total_mib": round(sum(found.values()), 1)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--front", type=int, default=0, help="front workers; 0: one per core")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long it idles before it is measured")
    print(json.dumps(measure(parser.parse_args()), indent=2))
