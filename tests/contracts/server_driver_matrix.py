# -*- test-case-name: tests.drivers.test_matrix -*-
"""
Which server driver passes which test of the contract: the table in ``docs/drivers.md``.

``python -m tests.contracts.server_driver_matrix`` prints it from ``server_driver_results.json``;
``python -m tests.contracts.server_driver_matrix DRIVER...`` runs their tests first and keeps what came of it.  The
results are committed, because not every machine that makes the page can run every hypervisor.
"""

from __future__ import annotations

import contextlib
import json
import sys
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from twisted.trial.reporter import TestResult
from twisted.trial.runner import TestLoader

from tests.contracts.server_driver import MINIMUM, ServerDriverContract

DRIVERS: Final = {
    "libvirt": "tests.drivers.test_libvirt_contract",
    "simulated": "tests.drivers.test_simulated_contract",
}
"""By name, the module whose tests are the contract's and no others."""
RESULTS: Final = Path(__file__).with_name("server_driver_results.json")

Results = dict[str, dict[str, str]]
"""By driver and name of the test: ``passed``, ``failed`` or ``skipped``."""


def contract_tests() -> list[str]:
    """In the order in which they are written."""
    return [name for name in vars(ServerDriverContract) if name.startswith("test_")]


def read() -> Results:
    results: Results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return results


def run(driver: str) -> dict[str, str]:
    """Run the contract's tests of one driver; takes as long as its guests take to boot."""
    loader = TestLoader()
    suite = loader.loadByName(DRIVERS[driver], recurse=True)
    result = TestResult()
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        suite.run(result)
    wrong = {_name(test) for test, _ in [*result.failures, *result.errors]}
    skipped = {_name(test) for test, _ in result.skips}
    return {
        name: "failed" if name in wrong else "skipped" if name in skipped else "passed"
        for name in sorted(map(_name, _flat(suite)))
    }


def page(results: Results) -> str:
    """The table, as Markdown.  A test of which nothing is known is not run."""
    drivers = sorted(results)
    lines = [
        f"| Fact | Needed | {' | '.join(drivers)} |",
        f"|---|---|{'---|' * len(drivers)}",
    ]
    for name in contract_tests():
        cells = [results[driver].get(name, "not run") for driver in drivers]
        needed = "yes" if name in MINIMUM else "no"
        lines.append(f"| {_title(name)} | {needed} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _title(name: str) -> str:
    words = name.removeprefix("test_").replace("_", " ")
    return f"`{words}`: {getattr(ServerDriverContract, name).__doc__.strip()}"


def _name(test: object) -> str:
    return str(getattr(test, "_testMethodName", test))


def _flat(suite: object) -> list[object]:
    if isinstance(suite, unittest.TestCase):
        return [suite]
    return [test for part in suite for test in _flat(part)] if isinstance(suite, unittest.TestSuite) else []


def main(drivers: list[str]) -> int:
    if unknown := set(drivers) - set(DRIVERS):
        sys.stderr.write(f"no driver {', '.join(sorted(unknown))}; there are {', '.join(DRIVERS)}\n")
        return 2
    results = read()
    for driver in drivers:
        results[driver] = run(driver)
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    sys.stdout.write(page(results) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
