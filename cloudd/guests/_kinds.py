# -*- test-case-name: tests.guests.test_kinds -*-
"""All kinds of tasks that a host does for its servers."""

from __future__ import annotations

from cloudd.tasks import Kind

from ._build import build_kind
from ._console import console_kind
from ._delete import delete_kind
from ._interfaces import interface_kinds
from ._means import Means
from ._power import power_kind
from ._rebuild import rebuild_kind
from ._resize import resize_kinds
from ._snapshot import snapshot_kind


def guest_kinds(means: Means) -> tuple[Kind, ...]:
    """With these means."""
    return (
        build_kind(means),
        delete_kind(means),
        power_kind(means),
        rebuild_kind(means),
        *resize_kinds(means),
        snapshot_kind(means),
        *interface_kinds(means),
        console_kind(means),
    )
