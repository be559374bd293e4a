"""``cloudctl schedule`` against a daemon in memory."""

from __future__ import annotations

import json
from typing import Any

from cloudd.cli import Exit

from .test_commands import CommandCase


def answer(**changes: Any) -> dict[str, Any]:
    """What the application tells."""
    free = {"free_vcpus": 8, "free_memory_mib": 1024, "free_disk_gib": 9}
    judged = {"weight": 1.5, "weights": {"vcpus": 1.0, "memory": 0.5}, "servers": 2}
    return {
        "need": {"vcpus": 1, "memory_mib": 512, "disk_gib": 3},
        "servers": 2,
        "placed": 2,
        "total": 3,
        "passing": 1,
        "removed": {"zone": 1, "vcpus": 1},
        "weighers": {"vcpus": 1.0, "memory": -2.5},
        "hosts": [
            {"name": "[red]c1", "zone": "z1", **free, **judged},
            {"name": "c2", "zone": "z2", **free, "filter": "zone", "cause": "it is in zone z2"},
        ],
        **changes,
    }


class ScheduleTests(CommandCase):
    def test_explained(self) -> None:
        """What is asked for, hosts with their weights or what takes them out, and what came of it."""
        self.host.operations["scheduling.explain"] = answer()
        ran = self.run_it("schedule", "--explain", "m1.tiny", "--count", "2", "--zone", "z1", "--same-host", "a",
                          "--same-host", "b")  # fmt: skip
        for text in ("2 x 1 vCPUs, 512 MiB of memory, 3 GiB of disk each", "3, of which 1 pass", "zone 1, vcpus 1",
                     "[red]c1", "1.50", "memory x -2.5", "zone: it is in zone z2", "1 more hosts",
                     "2 of 2 would get a host"):  # fmt: skip
            self.assertIn(text, ran.output)
        call, asked = self.host.operated[-1]
        self.assertEqual(call, "scheduling.explain")
        self.assertEqual(
            asked,
            {"flavor": "m1.tiny", "image": "", "zone": "z1", "host": "", "project_id": "", "group": "",
             "same_host": ["a", "b"], "different_host": [], "count": 2, "limit": 100},
        )  # fmt: skip

    def test_no_host(self) -> None:
        """Exits with 1, with what a tenant would read."""
        self.host.operations["scheduling.explain"] = answer(placed=0, cause="No valid host was found.", hosts=[])
        ran = self.run_it("schedule", "--explain", "m1.tiny", code=Exit.REFUSED)
        self.assertIn("0 of 2 would get a host: No valid host was found.", ran.output)

    def test_json(self) -> None:
        """For programs."""
        self.host.operations["scheduling.explain"] = answer()
        found = json.loads(self.run_it("--json", "schedule", "--explain", "m1.tiny").output)
        self.assertEqual((found["hosts"][0]["weights"]["vcpus"], found["placed"]), (1.0, 2))

    def test_wrong_usage(self) -> None:
        """It only explains, and says so; numbers have bounds."""
        for words in (("m1.tiny",), ("--explain",), ("--explain", "m1.tiny", "--count", "0")):
            self.run_it("schedule", *words, code=Exit.USAGE)
