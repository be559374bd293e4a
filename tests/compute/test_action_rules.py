"""Which action is allowed in which state."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from cloudd.compute import ComputeConflict, Doing, Server, State
from cloudd.compute.servers._action_rules import RULES, check

SERVER = Server(
    id="s", project_id="p", user_id="u", name="s", host_name="s", flavor="f", node_id="n", launched_us=1
)  # fmt: skip

#: As ``check_instance_state`` of ``nova/compute/api.py`` has it.
NOVA = {
    "start": "stopped",
    "stop": "active error",
    "reboot": "active",
    "reboot hard": "active stopped paused suspended error",
    "pause": "active",
    "unpause": "paused",
    "suspend": "active",
    "resume": "suspended",
    "rebuild": "active stopped error",
    "resize": "active stopped",
    "confirmResize": "resized",
    "revertResize": "resized",
    "createImage": "active stopped paused suspended",
    "createBackup": "active stopped paused suspended",
    "attach_interface": "active paused stopped",
    "detach_interface": "active paused stopped",
    "restore": "",
}


class RuleTests(SynchronousTestCase):
    def refusal(self, action: str, server: Server) -> str:
        """Empty: it is allowed."""
        try:
            check(action, server)
        except ComputeConflict as error:
            return error.cause
        return ""

    def test_states(self) -> None:
        """Each action in each state: those of Nova's, and in no other one."""
        self.assertEqual(set(RULES), set(NOVA))
        for action, words in NOVA.items():
            shown = action.partition(" ")[0]
            for state in State:
                refused = f"Cannot '{shown}' instance s while it is in vm_state {state}"
                wanted = "" if state in words.split() else refused
                self.assertEqual(self.refusal(action, evolve(SERVER, state=state)), wanted)

    def test_busy(self) -> None:
        """Whatever is done to it, nothing else is begun."""
        for action, words in NOVA.items():
            for state in words.split():
                for doing in Doing:
                    cause = self.refusal(action, evolve(SERVER, state=State(state), doing=doing))
                    shown = action.partition(" ")[0]
                    self.assertEqual(cause, f"Cannot '{shown}' instance s while it is in task_state {doing}")

    def test_never_ran(self) -> None:
        """One that was never on a host, or is on none any more, can be told nothing."""
        for values in ({"launched_us": None}, {"node_id": ""}):
            server = evolve(SERVER, state=State.ERROR, **values)
            for action in ("stop", "reboot hard", "rebuild"):
                self.assertIn("is in an invalid state for", self.refusal(action, server))
