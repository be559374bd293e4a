"""What is done to taps, and in which order."""

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from net._changes import Change, additions, removals
from net._taps import plan_taps

from .plans import plan_of

NAME = "cld00000005-000"


class ChangesTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.wanted = plan_taps(plan_of(5))

    def test_nothing(self) -> None:
        """Equal taps need nothing."""
        self.assertEqual((removals(self.wanted, self.wanted), additions(self.wanted, self.wanted)), ([], []))

    def test_a_new_tap(self) -> None:
        """A tap is made, then up, and has routes last."""
        whats = [change.what for change in additions({}, self.wanted)]
        self.assertEqual(whats, ["make tap", "set link", *["set sysctl"] * 5, "add address", "add route"])

    def test_a_tap_that_goes(self) -> None:
        """Deleting it takes its addresses and routes along."""
        self.assertEqual(removals(self.wanted, {}), [Change("delete tap", NAME)])

    def test_drift(self) -> None:
        """Exactly that which differs is put back."""
        drifted = {NAME: evolve(self.wanted[NAME], routes=frozenset({"10.6.6.6"}), mtu=900)}
        self.assertEqual(
            additions(drifted, self.wanted),
            [Change("set link", NAME), Change("delete route", NAME, "10.6.6.6"), Change("add route", NAME, "10.0.0.5")],
        )
