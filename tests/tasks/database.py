"""
The control database of a world: SQLite, or PostgreSQL, as ``tests.database.choice`` has it.

Where it is stands in the folder of the world, so that every process that works there finds it.  Each end of a task is
counted as it happens, by the database: a task that ends twice has two rows in ``test_ends``.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from cloudd.database import migrate
from tests.database.choice import new_template, on_postgres

FILE, PLACE = "cloud.sqlite", "place"
PATIENCE_S = 30.0

TABLES = """
CREATE TABLE test_ends (task_id TEXT, state TEXT);
CREATE TABLE test_effects (task_id TEXT, what TEXT);
"""
COUNTED = {
    "sqlite": """
CREATE TRIGGER test_ended AFTER UPDATE OF state ON tasks WHEN NEW.state IN ('done', 'failed')
BEGIN INSERT INTO test_ends VALUES (NEW.id, NEW.state); END;
""",
    "postgresql": """
CREATE FUNCTION test_count_end() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO test_ends VALUES (NEW.id, NEW.state); RETURN NULL; END $$;
CREATE TRIGGER test_ended AFTER UPDATE OF state ON tasks FOR EACH ROW WHEN (NEW.state IN ('done', 'failed'))
EXECUTE FUNCTION test_count_end();
""",
}


def place(folder: Path) -> Path | str:
    """What ``open_control_database`` takes."""
    url = folder / PLACE
    return url.read_text() if url.exists() else folder / FILE


def make(folder: Path) -> None:
    """In a folder that is there: all tables, and those of tests."""
    if not on_postgres():
        migrate(folder / FILE)
        with closing(sqlite3.connect(folder / FILE)) as connection:
            connection.executescript(TABLES + COUNTED["sqlite"])
        return
    _name, url = new_template()
    (folder / PLACE).write_text(url)
    migrate(url)
    with psycopg.connect(url) as connection:
        connection.execute(TABLES + COUNTED["postgresql"])


def copy(source: Path, target: Path) -> None:
    """
    Give ``target`` one of its own with the same rows.

    :param target: a copy of the folder; nobody is connected to what it was copied from
    """
    if isinstance(found := place(source), str):
        from tests.database.postgres import shared_postgres

        server = shared_postgres()
        await_silence(source)
        (target / PLACE).write_text(server.url(server.create(_name_in(found))))


def drop(folder: Path) -> None:
    """Nobody needs it any more; a file goes with its folder."""
    if isinstance(found := place(folder), str):
        from tests.database.postgres import shared_postgres

        shared_postgres().drop(_name_in(found))


def await_silence(folder: Path) -> None:
    """
    Until nobody is connected to it.

    A process that was killed is gone for PostgreSQL when that has read its last words, and may commit until then.
    """
    if not isinstance(found := place(folder), str):
        return
    from tests.database.postgres import shared_postgres

    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
    deadline = time.monotonic() + PATIENCE_S
    with shared_postgres().connect() as connection:
        while (connection.execute(others, (_name_in(found),)).fetchone() or (0,))[0]:
            if time.monotonic() > deadline:
                raise AssertionError(f"somebody stays connected to {found}")
            time.sleep(0.005)


def ask(folder: Path, statement: str) -> list[dict[str, Any]]:
    """Rows, or none of what changes rows; of a file that no other process is writing to."""
    found = place(folder)
    connection: Any = psycopg.connect(found) if isinstance(found, str) else sqlite3.connect(found)
    with closing(connection), connection:
        cursor = connection.execute(statement)
        if cursor.description is None:
            return []
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _name_in(url: str) -> str:
    return url.rsplit("/", 1)[1]
