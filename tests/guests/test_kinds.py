"""Each kind of work on servers, also when its process is killed at any moment: none lost, doubled or stuck."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.tasks.walk import KilledAtEveryMoment

SCENARIOS = "tests.guests.guest_walk:"
CLEAN = {"guests": [], "plugged": 0, "ports": 0, "port_addresses": 0, "server_interfaces": 0, "server_claims": 0}


class Walk(KilledAtEveryMoment):
    """
    :cvar ends: of the tasks
    :cvar expected: of what is there afterwards, in the run without a kill
    """

    ends: tuple[str, ...] = ("done",)
    expected: dict[str, Any] = {}

    def look_at(self, calm: dict[str, Any]) -> None:
        effects = calm["effects"]
        self.assertEqual(tuple(sorted(task[1] for task in calm["tasks"])), self.ends, calm["tasks"])
        self.assertEqual({name: effects[name] for name in self.expected}, self.expected, effects)
        self.assertEqual(effects["files"], 0)


class BuildTests(Walk, SynchronousTestCase):
    """It runs, with a port."""

    scenario = f"{SCENARIOS}BUILDING"
    expected = {"state": "active", "doing": None, "power": "RUNNING", "interfaces": 1, "plugged": 1, "launched": True,
                "events": [["compute__do_build_and_run_instance", "Success"]], "server_claims": 1}  # fmt: skip


class FailedBuildTests(Walk, SynchronousTestCase):
    """Nothing is left on the host, and the server is placed once more."""

    scenario = f"{SCENARIOS}BUILD_FAILS"
    ends = ("done", "failed")
    expected = {**CLEAN, "state": "building", "doing": "scheduling", "host": "", "released": 0,
                "events": [["compute__do_build_and_run_instance", "Error"]]}  # fmt: skip


class DeletedBuildTests(Walk, SynchronousTestCase):
    """Whichever is last: nothing is left."""

    scenario = f"{SCENARIOS}BUILD_OF_A_DELETED"
    ends = ("done", "done")
    expected = {**CLEAN, "state": "deleted", "doing": None, "deleted": True, "released": 1}


class DeleteTests(Walk, SynchronousTestCase):
    scenario = f"{SCENARIOS}DELETING"
    expected = {**CLEAN, "state": "deleted", "doing": None, "power": "UNKNOWN", "deleted": True, "released": 1,
                "events": [["compute_terminate_instance", "Success"]]}  # fmt: skip
