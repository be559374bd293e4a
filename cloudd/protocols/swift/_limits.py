"""
Limits of this face alone; those of names and metadata are the objects service's.
"""

from __future__ import annotations

LISTING_ROWS = 10_000
HEADER_VALUE_BYTES = 8192
BULK_DELETES = 10_000
BULK_DELETE_FAILURES = 1000
