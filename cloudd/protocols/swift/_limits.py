"""
The limits of the Swift face, with the names and values of Swift's own constraints; ``/info`` publishes them.
"""

from __future__ import annotations

ACCOUNT_NAME_BYTES = 256
CONTAINER_NAME_BYTES = 256
OBJECT_NAME_BYTES = 1024
LISTING_ROWS = 10_000
META_NAME_BYTES = 128
META_VALUE_BYTES = 256
META_ITEMS = 90
META_BYTES = 4096
HEADER_VALUE_BYTES = 8192
BULK_DELETES = 10_000
BULK_DELETE_FAILURES = 1000
