"""libvirt's states as those of servers."""

from __future__ import annotations

import libvirt
from twisted.trial.unittest import SynchronousTestCase

from cloudd.drivers._libvirt_states import power_of
from cloudd.interfaces.servers import Power


class PowerTests(SynchronousTestCase):
    def test_states(self) -> None:
        for state, reason, saved, power in (
            (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED, False, Power.RUNNING),
            (libvirt.VIR_DOMAIN_SHUTDOWN, 0, False, Power.RUNNING),
            (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER, False, Power.PAUSED),
            (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_SAVE, False, Power.RUNNING),
            (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED, False, Power.OFF),
            (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_UNKNOWN, True, Power.SUSPENDED),
            (libvirt.VIR_DOMAIN_NOSTATE, 0, False, Power.UNKNOWN),
        ):
            self.assertEqual(power_of(state, reason, saved), (power, ""))

    def test_crashes_have_causes(self) -> None:
        for state, reason in (
            (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED),
            (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED),
            (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED),
        ):
            power, cause = power_of(state, reason, False)
            self.assertEqual(power, Power.CRASHED)
            self.assertTrue(cause)

    def test_full_disk(self) -> None:
        """The guest waits for room; why is told."""
        power, cause = power_of(libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR, False)
        self.assertEqual(power, Power.PAUSED)
        self.assertIn("room", cause)
