"""What each call makes of a guest."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.drivers._power import AFTER, after
from cloudd.interfaces.servers import DriverError, Power


class PowerTests(SynchronousTestCase):
    def test_again(self) -> None:
        """What may be done may be done again, and leads to the same; but for what needs a running guest."""
        for call, table in AFTER.items():
            for power in table:
                reached = after(call, power)
                self.assertEqual(after(call, reached), reached, (call, power))

    def test_refusals(self) -> None:
        """Each names the state and the next step."""
        for call, table in AFTER.items():
            for power in set(Power) - set(table):
                error = self.assertRaises(DriverError, after, call, power)
                self.assertIn(power.name, error.cause)
                self.assertTrue(error.next_step)

    def test_some(self) -> None:
        self.assertEqual(after("power_on", Power.CRASHED), Power.RUNNING)
        self.assertEqual(after("reboot", Power.OFF), Power.RUNNING)
        self.assertRaises(DriverError, after, "soft_reboot", Power.OFF)
        self.assertRaises(DriverError, after, "reboot", Power.SUSPENDED)
        self.assertEqual(after("snapshot", Power.SUSPENDED), Power.SUSPENDED)
