"""``python -m cloudd.protocols.rest.compute``: the tables of ``docs/compute.md``, made from the routes."""

from __future__ import annotations

import sys

from .._tables import tables
from ._absent import ABSENT
from ._face import PREFIX, SUBJECTS

if __name__ == "__main__":
    sys.stdout.write(tables(PREFIX, SUBJECTS, ABSENT))
