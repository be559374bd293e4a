"""Plug-ins: found in every generation of the code, others' too; what is missing or twice there."""

from __future__ import annotations

import importlib
import sys
from itertools import count
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import cloudd.plugins
from cloudd.control import BOUNDARIES
from cloudd.interfaces.scheduling import IHostFilter
from cloudd.interfaces.settings import SchedulerSettings
from cloudd.scheduling import FILTERS, WEIGHERS, PluginMissing, Plugins, find_plugins, rules_of
from reload import CodeTree, Generation
from tests.running_cloud import CHECKOUT

_numbers = count(9_700)

OTHERS = """
from twisted.plugin import IPlugin
from zope.interface import implementer

from cloudd.interfaces.scheduling import IHostFilter

@implementer(IPlugin, IHostFilter)
class Even:
    name, is_wish = "even", False

    def passing(self, hosts, placement):
        return [host for host in hosts if not self.cause(host, placement)]

    def cause(self, host, placement):
        return "" if len(host.name) % 2 == 0 else "its name is odd"

    def lacking(self, placement):
        return "has an even name"

even = Even()
"""


class PluginTests(SynchronousTestCase):
    def others(self) -> None:
        """Somebody else's folder of plug-ins, beside ours."""
        folder = Path(self.mktemp()).absolute()
        (folder / "cloudd" / "plugins").mkdir(parents=True)
        (folder / "cloudd" / "plugins" / "test_others.py").write_text(OTHERS)
        self.patch(sys, "path", [*sys.path, str(folder)])
        self.patch(cloudd.plugins, "__path__", [*cloudd.plugins.__path__, str(folder / "cloudd" / "plugins")])
        self.addCleanup(sys.modules.pop, "cloudd.plugins.test_others", None)
        importlib.invalidate_caches()

    def test_ours(self) -> None:
        """All there are, in their order."""
        found = find_plugins()
        self.assertEqual((found.filters, found.weighers), (FILTERS, WEIGHERS))
        found.check()

    def test_others(self) -> None:
        """One of somebody else is asked after ours; settings may turn it off."""
        self.others()
        found = find_plugins()
        self.assertEqual([each.name for each in found.filters], [*(each.name for each in FILTERS), "even"])
        found.check()
        rules = rules_of(found, SchedulerSettings(filters_off=("even",)))
        self.assertNotIn("even", [each.name for each in rules.filters])

    def test_in_a_generation(self) -> None:
        """Code of a generation finds its own plug-ins and others', not those of other code, and is freed afterwards."""
        self.others()
        generation = Generation(next(_numbers), CodeTree.scan(CHECKOUT, BOUNDARIES), BOUNDARIES)
        self.addCleanup(generation.release)
        found = generation.load("cloudd.scheduling").find_plugins()
        self.assertEqual([each.name for each in found.filters], [*(each.name for each in FILTERS), "even"])
        for each in (*found.filters, *found.weighers):
            self.assertTrue(type(each).__module__.startswith(f"{generation.name}.cloudd."), type(each).__module__)
            self.assertFalse(any(each is ours for ours in (*FILTERS, *WEIGHERS)))
        self.assertTrue(all(IHostFilter.providedBy(each) for each in found.filters))
        found.check()
        del found, each
        generation.release()
        for _step in generation.free():
            pass
        self.assertEqual((generation.holders(), generation.living()), ([], 0))

    def test_missing(self) -> None:
        """One of ours that is not there is named; so is one that is there twice, or that settings name in vain."""
        for plugins, words in (
            (Plugins(FILTERS[1:], WEIGHERS), "there is no filter 'enabled'"),
            (Plugins(FILTERS, WEIGHERS[:-1]), "there is no weigher 'group'"),
            (Plugins((*FILTERS, FILTERS[0]), WEIGHERS), "there are two filters 'enabled'"),
        ):
            error = self.assertRaises(PluginMissing, plugins.check)
            self.assertIn(words, str(error))
        for settings, words in (
            (SchedulerSettings(filters_off=("vcpu",)), "names the filter 'vcpu'; there are 'enabled', "),
            (SchedulerSettings(weights=("ram=1",)), "names the weigher 'ram'; there are 'vcpus', "),
        ):
            error = self.assertRaises(PluginMissing, rules_of, find_plugins(), settings)
            self.assertIn(words, str(error))
