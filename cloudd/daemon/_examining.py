# -*- test-case-name: tests.daemon.test_upgrade -*-
"""Finding the code that a change would load, and what it would change; disks are read in threads."""

from __future__ import annotations

from pathlib import Path

from attrs import define

from cloudd.control import BOUNDARIES
from cloudd.interfaces.application import Threads
from cloudd.interfaces.settings import UpgradeSettings
from reload import call_paced, compare, environment_of

from ._allowed import DISTRIBUTIONS, allowed_tree, scan_allowed
from ._committed import find_copy
from ._manifests import Proof, check_copy
from ._target import ChangeEnded, Running, Target


@define
class Examiner:
    """
    :param start: root of the tree that the daemon was started from
    :param code: the folder of copies
    """

    _settings: UpgradeSettings
    _start: Path
    _code: Path
    _threads: Threads

    async def examine(self, named: str, running: Running) -> Target:
        """
        :param named: where the code lies; empty: in the start tree
        :raises reload.TreeError: it must not be loaded
        """
        path = await self._threads.run(allowed_tree, named, self._start, self._settings.trees)
        origin, proof = await self._threads.run(call_paced, scan_allowed, path, self._settings)
        reasons = tuple(origin.needs_new_process(running.environment))
        environment = origin.environment or running.environment
        interpreter = str(origin.environment.python) if origin.environment else running.interpreter
        changes = compare(running.tree, origin.tree, BOUNDARIES)
        return Target(origin.tree, changes, proof, interpreter, environment, reasons)

    async def previous(self, running: Running) -> Target:
        """
        What a rollback loads.

        :raises ChangeEnded: there is nothing
        :raises reload.TreeError: it must not be loaded
        """
        committed = running.committed
        if not committed.previous:
            raise ChangeEnded("refused", "there is nothing to go back to: no upgrade was made yet")
        tree = await self._threads.run(call_paced, find_copy, self._code, committed.previous)
        proof = Proof("")
        if tree.hash != committed.started_from:  # what a start takes needs no signature
            proof = await self._threads.run(check_copy, tree, self._settings)
        interpreter = committed.previous_interpreter or running.interpreter
        environment, differences = running.environment, []
        if interpreter != running.interpreter:
            environment = await self._threads.run(environment_of, Path(interpreter), DISTRIBUTIONS)
            differences = running.environment.differences(environment) if running.environment else [interpreter]
        changes = compare(running.tree, tree, BOUNDARIES)
        return Target(tree, changes, proof, interpreter, environment, tuple(differences))
