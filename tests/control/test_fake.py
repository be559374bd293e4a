"""The fake daemon of the protocol's and ``cloudctl``'s tests keeps the real one's contract."""

from __future__ import annotations

from cloudd.control import IControlled
from tests.contracts.controlled import ControlledContract

from .daemon import DaemonCase


class FakeHostTests(ControlledContract, DaemonCase):
    def make(self) -> IControlled:
        host: IControlled = self.host
        return host
