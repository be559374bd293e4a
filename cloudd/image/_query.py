"""What a list of images is asked for: conditions, order and page, as values."""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

from ._facts import ACCEPTED

Comparison = Literal["eq", "neq", "gt", "gte", "lt", "lte", "in"]

#: Members that a list can be sorted by and filtered on -> attribute of ``Image``.
COLUMNS: Final = {
    "id": "id",
    "name": "name",
    "status": "status",
    "owner": "project_id",
    "container_format": "container_format",
    "disk_format": "disk_format",
    "size": "size",
    "min_ram": "min_ram",
    "min_disk": "min_disk",
    "protected": "protected",
    "checksum": "checksum",
    "os_hash_value": "hash_value",
    "created_at": "created_us",
    "updated_at": "updated_us",
}
SORTABLE: Final = (
    "name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at",
)  # fmt: skip


@frozen
class Condition:
    """
    One filter.

    :param attribute: of ``Image``, or the name of a property
    :param values: several for ``in`` alone
    """

    attribute: str
    comparison: Comparison
    values: tuple[str | int | bool, ...]
    is_property: bool = False


@frozen
class Order:
    """By an attribute of ``Image``."""

    attribute: str
    descending: bool = True


@frozen(kw_only=True)
class ImageQuery:
    """
    Which images, in which order, from where on.

    :param visibility: empty: all that who asks may see without asking for it: no communities'; ``all``: those too
    :param member_status: of images that are shared with who asks; ``all``: any
    :param hidden: only those that are hidden, or only those that are not
    :param marker: id of the image behind which the page begins; empty: it is the first
    :param limit: images of a page
    """

    conditions: tuple[Condition, ...] = ()
    tags: tuple[str, ...] = ()
    visibility: str = ""
    member_status: str = ACCEPTED
    hidden: bool = False
    order: tuple[Order, ...] = ()
    marker: str = ""
    limit: int = 25
