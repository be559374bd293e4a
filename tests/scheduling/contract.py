"""What every filter and weigher must do, whoever wrote it: mix into a ``SynchronousTestCase``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zope.interface.verify import verifyObject

from cloudd.interfaces.scheduling import HostPicture, IHostFilter, IHostWeigher, Placement

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as Base
else:
    Base = object


class FilterContract(Base):
    """
    :ivar subject: the filter
    :ivar hosts: some that meet the condition and some that do not
    :ivar placement: for which that is so
    """

    subject: Any
    hosts: Sequence[HostPicture]
    placement: Placement

    def test_interface(self) -> None:
        """It has what is asked for."""
        verifyObject(IHostFilter, self.subject)
        self.assertIsInstance(self.subject.is_wish, bool)
        self.assertTrue(0 < len(self.subject.name) <= 40)

    def test_both_ways_agree(self) -> None:
        """A host that has a cause is not among those that pass, and each other one is, in the same order."""
        passing = list(self.subject.passing(self.hosts, self.placement))
        without = [host for host in self.hosts if not self.subject.cause(host, self.placement)]
        self.assertEqual(passing, without)
        self.assertTrue(0 < len(passing) < len(self.hosts))

    def test_all_pass(self) -> None:
        """Where all meet it, the very same sequence comes back; of none nothing is left."""
        passing = self.subject.passing(self.hosts, self.placement)
        self.assertIs(self.subject.passing(passing, self.placement), passing)
        self.assertEqual(list(self.subject.passing([], self.placement)), [])

    def test_words(self) -> None:
        """The tenant's words name no host."""
        words = self.subject.lacking(self.placement)
        self.assertRegex(words, "^(has|is|in) .+[^.]$")
        if not self.placement.wanted_host:
            self.assertEqual([host.name for host in self.hosts if host.name in words], [])


class WeigherContract(Base):
    """
    :ivar subject: the weigher
    :ivar hosts: several, among which it makes a difference
    :ivar placement: for which it does
    """

    subject: Any
    hosts: Sequence[HostPicture]
    placement: Placement

    def test_interface(self) -> None:
        """It has what is asked for."""
        verifyObject(IHostWeigher, self.subject)
        self.assertTrue(0 < len(self.subject.name) <= 40)

    def test_numbers(self) -> None:
        """A finite number for each host, which depends on that host and the placement alone."""
        found = list(self.subject.weights(self.hosts, self.placement))
        self.assertEqual(len(found), len(self.hosts))
        self.assertTrue(all(map(math.isfinite, found)))
        self.assertTrue(len(set(found)) > 1)
        self.assertEqual([self.subject.weights((host,), self.placement)[0] for host in self.hosts], found)
