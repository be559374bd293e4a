# -*- test-case-name: tests.protocols.rest.compute.test_flavors -*-
"""Links of lists: to the page behind."""

from __future__ import annotations

from typing import Any

from ._call import ComputeCall


def with_next(call: ComputeCall, plural: str, marker: str, *steps: str) -> dict[str, Any]:
    """
    The member beside a page that tells where the next one is.

    :param marker: of the last item of this page
    :param steps: path of the list below the face
    """
    href = f"{call.links.to(*steps)}?{call.query.with_marker(marker)}"
    return {f"{plural}_links": [{"rel": "next", "href": href}]}


def links_of(call: ComputeCall, kind: str, item_id: str) -> list[dict[str, str]]:
    """The two links of one item."""
    return [
        {"rel": "self", "href": call.links.to("v2.1", kind, item_id)},
        {"rel": "bookmark", "href": call.links.to(kind, item_id)},
    ]
