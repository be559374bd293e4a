"""
A SQLite cloud with many rows of each kind moved to PostgreSQL, with a stop: how long it is away, and what is lost.

    python -m bench.database_move [--rows 10000]

Prints JSON: seconds of each step, ``pause_s`` from the daemon's stop to the first answer on the other database, rows
that were compared value by value, and how many tokens of before are valid after it.  The server syncs to disk.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from cloudd.database import backup, control_url, migrate, read_backup, restore, tables
from cloudd.database._control import make_engine
from tests.database.postgres import Postgres
from tests.running_cloud import RunningCloud

CHUNK = 1000
TOKENS = 100


def kinds(count: int) -> dict[str, Callable[[int], dict[str, Any]]]:
    """Table -> a row by its number."""
    made = {"created_us": 1_700_000_000_000_000}
    return {
        "identity_domain": lambda n: {"id": f"d{n}", "name": f"domain {n}", **made},
        "identity_project": lambda n: {"id": f"p{n}", "name": f"project {n}", "domain_id": f"d{n}", **made},
        "identity_user": lambda n: {"id": f"u{n}", "name": f"user {n}", "domain_id": f"d{n}", **made},
        "identity_role": lambda n: {"id": f"r{n}", "name": f"role {n}", **made},
        "identity_implied_role": lambda n: {"prior_id": f"r{n}", "implied_id": f"r{(n + 1) % count}"},
        "identity_project_role": lambda n: {"user_id": f"u{n}", "project_id": f"p{n}", "role_id": f"r{n}"},
        "identity_domain_role": lambda n: {"user_id": f"u{n}", "domain_id": f"d{n}", "role_id": f"r{n}"},
        "identity_application_credential": lambda n: {
            "id": f"a{n}", "user_id": f"u{n}", "project_id": f"p{n}", "name": "n", "secret_hash": "h", **made
        },
        "identity_application_credential_role": lambda n: {"credential_id": f"a{n}", "role_id": f"r{n}"},
        "identity_ec2_credential": lambda n: {
            "access": f"k{n}", "user_id": f"u{n}", "project_id": f"p{n}", "sealed_secret": "s", **made
        },
        "identity_revocation": lambda n: {"subject": f"user:u{n}", "issued_before_us": 0, **made},
    }  # fmt: skip


def fill(place: Path, count: int) -> None:
    """Events come by the triggers."""
    engine = make_engine(control_url(place))
    with engine.begin() as connection:
        for name, row in kinds(count).items():
            for start in range(0, count, CHUNK):
                rows = [row(number) for number in range(start, min(start + CHUNK, count))]
                connection.execute(insert(tables.metadata.tables[name]), rows)
    engine.dispose()


def contents(place: Path | str) -> dict[str, set[tuple[Any, ...]]]:
    engine = make_engine(control_url(place))
    with engine.connect() as connection:
        found = {
            table.name: set(map(tuple, connection.execute(select(table)))) for table in tables.metadata.sorted_tables
        }
    engine.dispose()
    return found


def ask(cloud: RunningCloud, method: str, headers: dict[str, str], body: Any = None) -> http.client.HTTPResponse:
    client = cloud.connect("api")
    client.request(method, "/identity/v3/auth/tokens", json.dumps(body) if body else None, headers)
    answer = client.getresponse()
    answer.read()
    client.close()
    return answer


def log_in(cloud: RunningCloud) -> str:
    name, password = cloud.tenant()
    user = {"name": name, "password": password, "domain": {"id": "default"}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    token = ask(cloud, "POST", {"Content-Type": "application/json"}, body).getheader("X-Subject-Token")
    assert token, "nobody can log in"
    return token


def measured(cloud: RunningCloud, server: Postgres, rows: int) -> Iterator[tuple[str, Any]]:
    file, place, secrets = cloud.folder / "backup", cloud.state / "cloud.sqlite", cloud.state / "secrets"
    cloud.start()
    tokens = [log_in(cloud) for _ in range(TOKENS)]
    cloud.stop()
    fill(place, rows)
    cloud.start()
    before = contents(place)
    url = server.url(server.create())
    began = last = time.monotonic()
    cloud.stop()

    def step() -> float:
        nonlocal last
        taken, last = time.monotonic() - last, time.monotonic()
        return round(taken, 2)

    yield "stop_s", step()
    count = backup(place, secrets, file)
    yield "backup_s", step()
    migrate(url)
    restore(read_backup(file), url, secrets, replace=True)
    yield "restore_s", (restored := step())
    cloud.settings_file.write_text(f'[database]\nurl = "{url}"\n')
    cloud.start()
    yield "start_s", step()
    yield "pause_s", round(last - began, 2)
    after = contents(url)
    yield "rows", count
    yield "restored_rows_per_s", round(count / restored)
    yield "backup_bytes", file.stat().st_size
    yield "rows_compared", sum(map(len, before.values()))
    yield "rows_lost", sum(len(before[name] - after[name]) for name in before)
    yield "rows_too_many", sum(len(after[name] - before[name]) for name in before)
    answers = [ask(cloud, "GET", {"X-Auth-Token": token, "X-Subject-Token": token}).status for token in tokens]
    yield "tokens_valid", f"{answers.count(200)} of {len(tokens)}"
    log_in(cloud)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=10_000, help="of each kind")
    rows = options.parse_args().rows
    cloud, server = RunningCloud(), Postgres(durable=True)
    try:
        server.make()
        json.dump(dict(measured(cloud, server, rows)), sys.stdout, indent=2)
        print()
    finally:
        cloud.remove()
        server.remove()


if __name__ == "__main__":
    main()
