"""``python -m cloudd.protocols.rest.identity``: the tables of ``docs/identity.md``, made from the routes."""

from __future__ import annotations

import sys

from ._table import tables

if __name__ == "__main__":
    sys.stdout.write(tables())
