"""Facts as plain data and back, for what goes on in another process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._interfaces import Extent, ObjectFacts

#: Of what a reading tells: ``format``, ``object``, ``content`` (or ``None``), and ``open``, the numbers of the extents
#: that come along as files.
READING_FORMAT = 1


def object_to_plain(facts: ObjectFacts) -> dict[str, Any]:
    """One version of an object; for ``object_from_plain``."""
    return {
        "name": facts.name,
        "size": facts.size,
        "etag": facts.etag,
        "content_type": facts.content_type,
        "modified_us": facts.modified_us,
        "metadata": dict(facts.metadata),
        "extents": [[extent.file, extent.length] for extent in facts.extents],
    }


def object_from_plain(plain: Mapping[str, Any]) -> ObjectFacts:
    """What ``object_to_plain`` was given."""
    return ObjectFacts(
        name=plain["name"],
        size=plain["size"],
        etag=plain["etag"],
        content_type=plain["content_type"],
        modified_us=plain["modified_us"],
        metadata=plain["metadata"],
        extents=tuple(Extent(file, length) for file, length in plain["extents"]),
    )
