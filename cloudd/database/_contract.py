# -*- test-case-name: tests.database.test_contract -*-
"""
The way in which tables shrink: what only earlier releases needed goes away when nobody can go back to them any more.

``migrate`` only expands, at each start, so that two releases work on the same tables.  ``contract`` runs the steps in
``migrations/contract``, when an operator says that an upgrade is final.  **``oldest_reader`` tells which have run**: a
step's name begins with the revision of the oldest release that runs on what it leaves, and the step is due as long
as the tables admit an older one.  So earlier releases, which know that table, refuse to start on what they cannot read,
and no list of steps has to be kept beside it.

A step is a file ``REVISION_WORDS.py`` with one function in Alembic's words; here for releases from 0007 on, which do
not read ``old_name`` any more::

    def contract(op: alembic.operations.Operations) -> None:
        op.drop_column("identity_user", "old_name")

The release that stops reading something brings the step along, and runs before it and after it.
"""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen
from sqlalchemy import Connection, select, text, update

from . import tables

if TYPE_CHECKING:
    from alembic.operations import Operations

CONTRACTING = Path(__file__).parent / "migrations" / "contract"


@frozen
class Standing:
    """
    For which releases the tables are good.

    :ivar revision: of the tables
    :ivar oldest: of the oldest release that runs on them
    """

    revision: str
    oldest: str


def standing(connection: Connection) -> Standing:
    """Of this database, which ``migrate`` has made."""
    revision: str = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    oldest: str = connection.execute(select(tables.oldest_reader.c.revision)).scalar_one()
    return Standing(revision, oldest)


def contract(connection: Connection, folder: Path = CONTRACTING, *, only_look: bool = False) -> list[str]:
    """
    In one transaction that writes: take away what releases before this one needed.  Safe to call again.

    :param folder: of the steps
    :param only_look: nothing is changed
    :return: names of the steps that were made, or would be
    """
    present = standing(connection)
    due = [step for step in _steps(folder) if present.oldest < _revision(step) <= present.revision]
    if due and not only_look:
        _run(connection, due)
    return [step.stem for step in due]


def _steps(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.py"))


def _revision(step: Path) -> str:
    return step.name.partition("_")[0]


def _run(connection: Connection, steps: Sequence[Path]) -> None:
    from alembic.migration import MigrationContext  # late: it costs a quarter of a second
    from alembic.operations import Operations as Made

    operations: Operations = Made(MigrationContext.configure(connection))
    for step in steps:
        found: dict[str, Any] = runpy.run_path(str(step))
        found["contract"](operations)
        connection.execute(update(tables.oldest_reader).values(revision=_revision(step)))
