"""``python -m cloudd.protocols.swift``: the tables of ``docs/swift.md``, made from the code."""

from __future__ import annotations

import sys

from ._document import tables

if __name__ == "__main__":
    sys.stdout.write(tables())
