# -*- test-case-name: tests.cli.test_database -*-
"""``cloudctl database``: which one it is, and its records' move to a server while the cloud runs."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cloudd.control import DatabaseStatus

from ._change import confirm, follow
from ._context import Context, ask


@click.group()
def database() -> None:
    """The control database: see docs/database.md."""


@database.command("status")
@click.pass_obj
def database_status(context: Context) -> None:
    """Which database it is, its version and size, the rows of each table, and how far away it is."""
    found = ask(context, context.client.database)
    context.show(found, database_view(found))


@database.command()
@click.option("--to", "url", required=True, metavar="URL", help="postgresql://user@host/database, without a password.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path),
    help="A file with the password, which the daemon can read: now, and whenever it connects.",
)
@click.option("--check", is_flag=True, help="Only look whether it can be done; exits with 1 when it cannot.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def migrate(context: Context, url: str, password_file: Path | None, check: bool, yes: bool) -> None:
    """
    Move all records from SQLite to an empty PostgreSQL database while the cloud runs.

    Reads go on; writes wait for a moment at the end.  No id changes, and tokens stay valid.
    """
    file = str(password_file.absolute()) if password_file is not None else ""
    if check:
        follow(context, lambda: context.client.move_database(url, file, check=True))
    confirm("Move the records there?", yes=yes)
    follow(context, lambda: context.client.move_database(url, file))


def database_view(found: DatabaseStatus) -> RenderableType:
    """Every fact, one a line; then the tables."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    facts = {
        "database": found.name or "SQLite, a file in the state folder",
        "version": found.version,
        "size": f"{found.size_bytes / 1e6:.1f} MB",
        "tables": f"revision {found.revision}",
        "round trip": f"{found.round_trip_ms:.2f} ms",
        "workers": "\n".join(f"{worker}: {place}" for worker, place in found.workers.items()),
        "standbys": "\n".join(f"{name}: {_lag(lag)}" for name, lag in found.standbys.items()),
    }
    for name, value in facts.items():
        if value:
            grid.add_row(name, Text(value))
    rows = Table.grid(padding=(0, 2))
    rows.add_column()
    rows.add_column(justify="right")
    for name, count in found.rows.items():
        rows.add_row(name, str(count))
    return Group(grid, rows)


def _lag(lag: int | None) -> str:
    return "may not be seen by this role" if lag is None else f"{lag} bytes behind"
