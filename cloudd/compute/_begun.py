# -*- test-case-name: tests.protocols.rest.compute.test_server_create -*-
"""Actions on many servers at once, written as they begin."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from cloudd.database import now_us, tables
from cloudd.identity import Access


def begin_actions(
    connection: Connection, server_ids: Sequence[str], action: str, request_id: str, access: Access
) -> None:
    """
    Write for each of them that it is done now.

    :param action: Nova's name for it, ``create``
    :param request_id: of the request that asks for it, and of the task which does it
    """
    if not server_ids:
        return
    now: int = connection.execute(select(now_us())).scalar_one()
    same: dict[str, str | int | None] = {
        "action": action, "request_id": request_id, "project_id": access.project_id or "",
        "user_id": access.user_id, "message": None, "started_us": now, "updated_us": now,
    }  # fmt: skip
    rows = [{**same, "id": uuid.uuid4().hex, "server_id": each} for each in server_ids]
    connection.execute(insert(tables.server_action), rows)
