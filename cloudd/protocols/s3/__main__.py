"""``python -m cloudd.protocols.s3``: the tables of ``docs/s3.md``, made from the code."""

import sys

from ._table import tables

if __name__ == "__main__":
    sys.stdout.write(tables() + "\n")
