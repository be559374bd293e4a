"""``python -m cloudd.protocols.rest.compute``: the tables of ``docs/compute.md``, made from the routes and actions."""

from __future__ import annotations

import sys

from .._tables import tables
from ._absent import ABSENT
from ._action_tables import action_tables
from ._face import PREFIX, SUBJECTS

if __name__ == "__main__":
    sys.stdout.write(f"{tables(PREFIX, SUBJECTS, ABSENT)}\n{action_tables()}")
