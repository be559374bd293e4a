"""
Run tasks in several processes on one database while a random one is killed with signal 9 every second.

    python -m bench.tasks [--tasks 1000] [--runners 3] [--kill-every 1] [--lease 15] [--seed 1]

Prints one JSON object; ``missing``, ``doubled``, ``wrong`` and ``open`` must be 0, or the exit status is 1.  ``open``
are tasks that have not ended when the run is over, which is 60 s after the last kill at the latest: kills stop when
``--kill-for`` seconds have passed.  ``seconds`` is the whole run; ``tests/tasks/fleet.py`` tells what a task does.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.tasks.fleet import is_good, parser, run

STUCK_S = 60.0


def main(arguments: list[str]) -> int:
    """1: a task has no outcome, two of them, or not its effects."""
    with tempfile.TemporaryDirectory(prefix="cloudd-tasks-") as folder:
        options = parser().parse_args([str(Path(folder) / "world"), "--kill-for", "240", *arguments])
        options.patience = options.kill_for + STUCK_S
        found = run(options)
    print(json.dumps(found))
    return 0 if is_good(found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
