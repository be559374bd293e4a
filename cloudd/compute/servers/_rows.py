# -*- test-case-name: tests.compute.test_server_rows -*-
"""Servers as rows: read, added, changed.  No rights are looked at here, and what belongs together is not either."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict
from sqlalchemy import Connection, Row, insert, select, update

from cloudd.database import now_us, tables
from cloudd.interfaces.servers import Power

from .._errors import NoSuchRecord
from ._facts import Doing, Fault, Interface, Server, State, Wanted, WantedNetwork

_table = tables.server
_c = _table.c
_CHUNK = 500
_COLUMNS = tuple(column.name for column in _table.columns)
_AS_JSON = ("files", "items", "hints", "security_groups")
_SAME = (
    *("id", "project_id", "user_id", "name", "host_name", "description", "flavor", "flavor_before", "image_id"),
    *("image_before", "key_name", "key_type", "public_key", "user_data", "sealed_password", "config_drive", "zone"),
    *("wanted_host", "disk_config", "reservation_id", "launch_index", "access_ip_v4", "access_ip_v6", "locked_by"),
    *("locked_reason", "progress", "host", "created_us", "updated_us", "launched_us", "deleted_us"),
)


def read_server(connection: Connection, server_id: str) -> Server:
    """
    One server, also one that is gone.

    :raises NoSuchRecord:
    """
    found = read_servers(connection, [server_id])
    if not found:
        raise NoSuchRecord(f"Instance {server_id[:64]} could not be found.")
    return found[0]


def read_servers(connection: Connection, server_ids: Sequence[str]) -> list[Server]:
    """Those that there are, in the order of the ids."""
    found: dict[str, Server] = {}
    for start in range(0, len(server_ids), _CHUNK):
        some = server_ids[start : start + _CHUNK]
        rows = connection.execute(select(_table).where(_c.id.in_(some))).all()
        found |= {each.id: each for each in complete(connection, rows)}
    return [found[each] for each in server_ids if each in found]


def complete(connection: Connection, rows: Sequence[Row[Any]]) -> list[Server]:
    """Rows of ``servers``, with tags and interfaces."""
    found: list[Server] = []
    for start in range(0, len(rows), _CHUNK):
        some = rows[start : start + _CHUNK]
        ids = [row.id for row in some]
        tags = _tags(connection, ids)
        interfaces = _interfaces(connection, ids)
        found += [_server(row, tuple(tags.get(row.id, ())), tuple(interfaces.get(row.id, ()))) for row in some]
    return found


def add_server(connection: Connection, server: Server) -> None:
    """Write a new one with its tags; ``created_us`` and ``updated_us`` are now."""
    add_servers(connection, [server])


def add_servers(connection: Connection, servers: Sequence[Server]) -> None:
    """The same for many at once, in two statements; each is a microsecond younger than the one before."""
    now: int = connection.execute(select(now_us())).scalar_one()
    if servers:
        rows = [
            _row(each) | {"created_us": now + index, "updated_us": now + index} for index, each in enumerate(servers)
        ]
        connection.execute(insert(_table), rows)
    tags = [{"server_id": each.id, "tag": tag} for each in servers for tag in sorted(set(each.tags))]
    if tags:
        connection.execute(insert(tables.server_tag), tags)


def change_server(connection: Connection, server_id: str, **values: Any) -> None:
    """
    :param values: by names of columns, as they stand in the row
    :raises NoSuchRecord: there is none
    """
    changed = update(_table).where(_c.id == server_id).values(**{"updated_us": now_us(), **values})
    if not connection.execute(changed).rowcount:
        raise NoSuchRecord(f"Instance {server_id[:64]} could not be found.")


def add_interface(connection: Connection, server_id: str, interface: Interface) -> None:
    """Write that a server has it."""
    connection.execute(insert(tables.server_interface).values(server_id=server_id, **asdict(interface)))


def drop_interface(connection: Connection, server_id: str, port_id: str) -> None:
    """Write that a server has it no more; safe to call again."""
    table = tables.server_interface
    connection.execute(table.delete().where(table.c.server_id == server_id, table.c.port_id == port_id))


def _tags(connection: Connection, ids: Sequence[str]) -> Mapping[str, list[str]]:
    table, found = tables.server_tag, dict[str, list[str]]()
    for server_id, tag in connection.execute(select(table).where(table.c.server_id.in_(ids)).order_by(table.c.tag)):
        found.setdefault(server_id, []).append(tag)
    return found


def _interfaces(connection: Connection, ids: Sequence[str]) -> Mapping[str, list[Interface]]:
    table, found = tables.server_interface, dict[str, list[Interface]]()
    query = select(table).where(table.c.server_id.in_(ids)).order_by(table.c.position, table.c.port_id)
    for row in connection.execute(query):
        interface = Interface(port_id=row.port_id, position=row.position, tag=row.tag, is_ours=row.is_ours)
        found.setdefault(row.server_id, []).append(interface)
    return found


def _server(row: Row[Any], tags: tuple[str, ...], interfaces: tuple[Interface, ...]) -> Server:
    values = dict(zip(_COLUMNS, row, strict=True))  # lists have a thousand: a row's attributes are slower
    fault = None
    if values["fault_code"] is not None:
        fault = Fault(
            code=values["fault_code"], message=values["fault_message"], details=values["fault_details"],
            at_us=values["fault_us"] or 0,
        )  # fmt: skip
    return Server(
        **{name: values[name] for name in _SAME},
        files=tuple((path, content) for path, content in _read(values["files"])),
        items=_read(values["items"]),
        hints=_read(values["hints"]),
        networks=tuple(WantedNetwork(**each) for each in _read(values["networks"])),
        security_groups=tuple(_read(values["security_groups"])),
        state=State(values["state"]),
        doing=Doing(values["task_state"]) if values["task_state"] else None,
        wanted=Wanted(values["wanted"]),
        power=Power(values["power"]),
        node_id=values["node_id"] or "",
        fault=fault,
        tags=tags,
        interfaces=interfaces,
    )


def _read(text: str) -> Any:
    return [] if text == "[]" else {} if text == "{}" else json.loads(text)


def _row(server: Server) -> dict[str, Any]:
    same = {name: getattr(server, name) for name in _SAME if name not in ("created_us", "updated_us")}
    return {
        **same,
        **{name: json.dumps(getattr(server, name)) for name in _AS_JSON},
        "networks": json.dumps([asdict(each) for each in server.networks]),
        "state": server.state.value,
        "task_state": server.doing.value if server.doing else None,
        "wanted": server.wanted.value,
        "power": int(server.power),
        "node_id": server.node_id or None,
    }
