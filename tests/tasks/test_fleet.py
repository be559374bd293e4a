"""Several processes on one database, random ones killed: every task has one outcome, whatever the numbers are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.running_cloud import CHECKOUT

from .fleet import is_good


class FleetTests(SynchronousTestCase):
    @settings(max_examples=4, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        tasks=st.integers(1, 40),
        runners=st.integers(1, 4),
        kill_every=st.floats(0.2, 1.0),
        longest=st.floats(0.01, 0.2),
        seed=st.integers(0, 1000),
    )
    def test_one_outcome_each(self, tasks: int, runners: int, kill_every: float, longest: float, seed: int) -> None:
        """None is missing, none is doubled, none lacks an effect; leases of the dead are taken over."""
        options = {"tasks": tasks, "runners": runners, "kill-every": kill_every, "longest": longest, "seed": seed}
        words = [
            f"--{name}={value}" for name, value in {**options, "lease": 1.5, "kill-for": 5, "patience": 60}.items()
        ]
        ran = subprocess.run(
            [sys.executable, "-m", "tests.tasks.fleet", str(Path(self.mktemp()).absolute() / "world"), *words],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(ran.returncode, 0, f"{ran.stdout}\n{ran.stderr[-3000:]}")
        self.assertTrue(is_good(json.loads(ran.stdout)))
