# -*- test-case-name: tests.database.test_facts -*-
"""What an operator wants to know of the control database: which it is, how much is in it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from ._migrate import current_revision
from .tables import metadata

# Of each standby: what the server has written and the standby has not replayed, in bytes.  Others than
# pg_read_all_stats see the rows without the figures.
_STANDBYS = (
    "SELECT coalesce(nullif(application_name, ''), '?'), "
    "pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint FROM pg_stat_replication"
)


def database_facts(connection: Connection) -> dict[str, Any]:
    """
    To be given to ``read``: it counts every row.

    :return: ``kind``, ``version`` (of SQLite or the server), ``size_bytes``, ``revision`` (of the tables), ``rows`` by
        table, and ``standbys``: name -> bytes that it has not replayed yet, ``None``: that may not be seen
    """
    on_server = connection.dialect.name == "postgresql"

    def ask(query: str) -> Any:
        return connection.exec_driver_sql(query).scalar()

    size = (
        "SELECT pg_database_size(current_database())"
        if on_server
        else "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    )
    return {
        "kind": connection.dialect.name,
        "version": str(ask("SHOW server_version" if on_server else "SELECT sqlite_version()")),
        "size_bytes": int(ask(size)),
        "revision": current_revision(connection) or "",
        "rows": {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        },
        "standbys": standbys_of(connection) if on_server else {},
    }


def standbys_of(connection: Connection) -> dict[str, int | None]:
    """Of a server: name -> bytes that it has not replayed yet; ``None``: this role may not see that."""
    return {str(name): lag for name, lag in connection.exec_driver_sql(_STANDBYS)}
