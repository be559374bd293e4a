# -*- test-case-name: tests.rolling.test_finalize -*-
"""
Making an upgrade final: nobody goes back any more, so what only the code before needed ends.

All in one transaction: the release's row, on which pins depend (``cloudd.nodes``), and the contracting of the tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import frozen
from sqlalchemy import Connection

from cloudd.database import contract
from cloudd.nodes import Node, Release, end_release, node_rows, open_release

from ._errors import RollingError
from ._reach import open_change


@frozen(kw_only=True)
class Finality:
    """
    What making it final means.

    :ivar new_hash: of the code that all run; empty: they do not
    :ivar steps: contracting steps of the tables
    :ivar causes: what stands against it; empty: nothing
    :ivar release: that is open; None: there is none
    """

    new_hash: str
    steps: Sequence[str]
    causes: Sequence[str]
    release: Release | None

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to be made final."""
        return self.release is None and not self.steps and not self.causes


def look(connection: Connection, lost_s: float, kinds: Sequence[str], folder: Path | None = None) -> Finality:
    """
    Whether it can be done, and what would be.

    :param kinds: of rolling changes, of which none may be open
    :param folder: of contracting steps; None: this release's
    """
    rows = node_rows(connection, removed=False)
    task_id = open_change(connection, kinds)
    release = open_release(connection)
    steps = contract(connection, only_look=True) if folder is None else contract(connection, folder, only_look=True)
    causes = against(rows, lost_s, release, task_id)
    return Finality(new_hash="" if causes else rows[0].code_hash, steps=steps, causes=causes, release=release)


def against(rows: Sequence[Node], lost_s: float, release: Release | None, task_id: str) -> list[str]:
    """What stands against it, in words."""
    causes = []
    if task_id:
        causes.append(f"a rolling change is under way: task {task_id}")
    if not rows:
        causes.append("no node is there")
    for row in rows:
        if row.is_lost(lost_s):
            causes.append(
                f"node {row.name} is away: bring it back and upgrade it, or `cloudctl node remove {row.name}`; "
                "it could not work with what is left"
            )
    hashes = {row.code_hash: row.name for row in rows if not row.is_lost(lost_s)}
    if release is not None and set(hashes) - {release.new_hash}:
        others = ", ".join(row.name for row in rows if row.code_hash != release.new_hash and not row.is_lost(lost_s))
        causes.append(f"{others} do not run {release.new_hash[:12]}: `cloudctl upgrade --rolling` again")
    elif len(hashes) > 1:
        found = ", ".join(f"{name} {code[:12]}" for code, name in sorted(hashes.items()))
        causes.append(f"the nodes run different code ({found}): upgrade them first")
    return causes


def make_final(
    connection: Connection, lost_s: float, kinds: Sequence[str], who: str, folder: Path | None = None
) -> Finality:
    """
    Do it.

    :raises RollingError: something stands against it; nothing was changed
    """
    found = look(connection, lost_s, kinds, folder)
    if found.causes:
        raise RollingError("; ".join(found.causes))
    if found.release is not None:
        end_release(connection, found.release.id, "final", who)
    if folder is None:
        contract(connection)
    else:
        contract(connection, folder)
    return found
