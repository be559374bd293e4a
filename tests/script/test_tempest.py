"""``script/tempest``: what it counts, and what it tells tempest."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

from tests.running_cloud import CHECKOUT

SAID = """
======
Totals
======
Ran: 77 tests in 301.9 sec.
 - Passed: 24
 - Skipped: 25
 - Expected Fail: 1
 - Unexpected Success: 2
 - Failed: 25
Sum of execute time for each test: 301.0 sec.
"""


def loaded() -> ModuleType:
    loader = SourceFileLoader("tempest_script", str(CHECKOUT / "script" / "tempest"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


class CountTests(SynchronousTestCase):
    def test_counted(self) -> None:
        """An unexpected success is a failure; a run that tells nothing has passed nothing."""
        script = loaded()
        self.assertEqual(script.counted(SAID), {"passed": 25, "failed": 27, "skipped": 25})
        self.assertEqual(script.counted(""), {"passed": 0, "failed": 0, "skipped": 0})

    def test_names(self) -> None:
        """A class that could not be set up counts as one, and is named as well."""
        listing = "tempest.api.a.B.test_c[id-1]\nsetUpClass (tempest.api.a.D)\n\ntempest.api.a.B.test_c[id-1]\n"
        self.assertEqual(loaded().names_in(listing), ["tempest.api.a.B.test_c", "tempest.api.a.D"])

    def test_what_is_off(self) -> None:
        """Each has a reason, which stands in the page too, and nothing is told on and off."""
        script = loaded()
        page = (CHECKOUT / "docs" / "compute.md").read_text().splitlines()
        for flag, reason in script.OFF.items():
            self.assertTrue(reason)
            self.assertIn(f"| `{flag}` | {reason} |", page)
        self.assertFalse(set(script.OFF) & set(script.ON))
