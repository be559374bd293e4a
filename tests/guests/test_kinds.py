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


STAYS = {"interfaces": 1, "plugged": 1, "server_claims": 1, "doing": None, "deleted": False, "released": 0}


class StopTests(Walk, SynchronousTestCase):
    scenario = f"{SCENARIOS}STOPPING"
    expected = {**STAYS, "state": "stopped", "power": "OFF", "wanted": "stopped",
                "events": [["compute_stop_instance", "Success"]]}  # fmt: skip


class FailedStopTests(Walk, SynchronousTestCase):
    """It is what it was, and the fault says why."""

    scenario = f"{SCENARIOS}STOP_FAILS"
    ends = ("failed",)
    expected = {**STAYS, "state": "active", "power": "RUNNING", "wanted": "running",
                "events": [["compute_stop_instance", "Error"]],
                "fault": "The host could not do it: see the server's actions, or try again."}  # fmt: skip


class SuspendTests(Walk, SynchronousTestCase):
    scenario = f"{SCENARIOS}SUSPENDING"
    expected = {**STAYS, "state": "suspended", "power": "SUSPENDED", "wanted": "suspended"}


class RebootTests(Walk, SynchronousTestCase):
    scenario = f"{SCENARIOS}REBOOTING"
    expected = {**STAYS, "state": "active", "power": "RUNNING", "wanted": "running"}


class RebootSuspendedTests(Walk, SynchronousTestCase):
    """It is never left without memory and off."""

    scenario = f"{SCENARIOS}REBOOTING_SUSPENDED"
    expected = {**STAYS, "state": "active", "power": "RUNNING", "wanted": "running"}


class RebuildTests(Walk, SynchronousTestCase):
    scenario = f"{SCENARIOS}REBUILDING"
    expected = {**STAYS, "state": "active", "power": "RUNNING",
                "events": [["compute_rebuild_instance", "Success"]]}  # fmt: skip


class FailedRebuildTests(Walk, SynchronousTestCase):
    """Nobody knows what is on its disk; it can be rebuilt again."""

    scenario = f"{SCENARIOS}REBUILD_FAILS"
    ends = ("failed",)
    expected = {**STAYS, "state": "error", "power": "OFF"}


class ResizeTests(Walk, SynchronousTestCase):
    """It waits to be confirmed, with both claims."""

    scenario = f"{SCENARIOS}RESIZING"
    expected = {**STAYS, "state": "resized", "power": "RUNNING", "flavors": ["big", "small"], "server_claims": 2}


class FailedResizeTests(Walk, SynchronousTestCase):
    """It has the flavor that it had, and runs."""

    scenario = f"{SCENARIOS}RESIZE_FAILS"
    ends = ("failed",)
    expected = {**STAYS, "state": "active", "power": "RUNNING", "flavors": ["big", None]}


class ConfirmTests(Walk, SynchronousTestCase):
    scenario = f"{SCENARIOS}CONFIRMING"
    expected = {**STAYS, "state": "active", "power": "RUNNING", "flavors": ["big", None]}


class RevertTests(Walk, SynchronousTestCase):
    scenario = f"{SCENARIOS}REVERTING"
    expected = {**STAYS, "state": "active", "power": "RUNNING", "flavors": ["small", None]}


class SnapshotTests(Walk, SynchronousTestCase):
    scenario = f"{SCENARIOS}SNAPSHOTTING"
    expected = {**STAYS, "state": "active", "kept": ["image"]}


class BackupTests(Walk, SynchronousTestCase):
    """The older one goes once this one is there."""

    scenario = f"{SCENARIOS}BACKING_UP"
    expected = {**STAYS, "state": "active", "kept": ["image"]}


class AttachTests(Walk, SynchronousTestCase):
    scenario = f"{SCENARIOS}ATTACHING"
    expected = {**STAYS, "state": "active", "interfaces": 2, "plugged": 2, "ports": 2}


class DetachTests(Walk, SynchronousTestCase):
    scenario = f"{SCENARIOS}DETACHING"
    expected = {**STAYS, "state": "active", "interfaces": 0, "plugged": 0, "ports": 0, "port_addresses": 0}


class DeletedAmongOthersTests(Walk, SynchronousTestCase):
    """A stop and a rebuild meet the deletion: whichever is last, nothing is left."""

    scenario = f"{SCENARIOS}DELETED_WHILE_STOPPED"
    ends = ("done", "done", "done")
    expected = {**CLEAN, "state": "deleted", "doing": None, "deleted": True, "released": 1}


class ResetBuildTests(Walk, SynchronousTestCase):
    """Its state was reset before it had begun: that stays, and nothing is left."""

    scenario = f"{SCENARIOS}RESET_WHILE_BUILT"
    ends = ("failed",)
    expected = {**CLEAN, "state": "error", "doing": None, "host": "", "fault": None, "launched": False,
                "events": [["compute__do_build_and_run_instance", "Error"]]}  # fmt: skip


class ResetAndRebuiltTests(Walk, SynchronousTestCase):
    """What was called off ends first; then the rebuild has the size that the server had, and one claim."""

    scenario = f"{SCENARIOS}RESET_AND_REBUILT"
    ends = ("done", "failed")
    expected = {**STAYS, "state": "active", "power": "RUNNING", "flavors": ["small", None], "fault": None}
