"""
A SQLite cloud with many rows of each kind moved to PostgreSQL: how long who waits for it, and what is lost.

    python -m bench.database_move [--rows 10000] [--how live|stopped] [--clients 2] [--seconds 10]

``live`` has ``cloudctl database migrate`` do it while clients write and read.  Prints JSON: what these clients saw
without a move and during it (milliseconds; the longest is the pause), seconds of the move, rows that were compared
value by value, acknowledged writes that are missing, and how many tokens of before are valid after it.

``stopped`` does it by backup and restore: seconds of each step, and ``pause_s`` from the daemon's stop to the first
answer on the other database.  The server syncs to disk.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

from sqlalchemy import insert, select

from cloudd.database import backup, control_url, migrate, read_backup, restore, tables
from cloudd.database._control import WRITES, make_engine
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
    with engine.connect().execution_options(**{WRITES: False}) as connection:
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


def log_in(cloud: RunningCloud, who: str = "cloudd") -> str:
    name, password = cloud.login(who)
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


class Client(Thread):
    """
    Makes a user and reads it, again and again, on one connection.

    :ivar times: method -> (when it began, how long it took), seconds of the monotonic clock
    :ivar made: ids
    """

    def __init__(self, cloud: RunningCloud, token: str, name: str) -> None:
        super().__init__(daemon=True)
        self._cloud, self._token, self._name = cloud, token, name
        self.times: dict[str, list[tuple[float, float]]] = {"POST": [], "GET": []}
        self.made: list[str] = []
        self.failed = 0
        self.ends = False

    def run(self) -> None:
        client = self._cloud.connect("api")
        while not self.ends:
            values = {"name": f"{self._name}-{len(self.made)}", "domain_id": "default"}
            user = self._ask(client, "POST", "/identity/v3/users", {"user": values})
            if user is not None:
                self.made.append(user["user"]["id"])
                self._ask(client, "GET", f"/identity/v3/users/{self.made[-1]}", None)

    def _ask(self, client: http.client.HTTPConnection, method: str, path: str, body: Any) -> Any:
        headers = {"X-Auth-Token": self._token, "Content-Type": "application/json"}
        began = time.monotonic()
        client.request(method, path, json.dumps(body) if body else None, headers)
        answer = client.getresponse()
        data = answer.read()
        self.times[method].append((began, time.monotonic() - began))
        if answer.status >= 300:
            self.failed += 1
            return None
        return json.loads(data)


def seen(clients: list[Client], method: str, began: float, ended: float) -> dict[str, float]:
    """Milliseconds of the requests that were under way in that time."""
    asked = [
        (seconds * 1000, start - began)
        for client in clients
        for start, seconds in list(client.times[method])
        if start < ended and start + seconds > began
    ]
    took = [milliseconds for milliseconds, _start in asked]
    quantiles = statistics.quantiles(took, n=100)
    return {
        "requests": len(took),
        "p50_ms": round(quantiles[49], 1),
        "p99_ms": round(quantiles[98], 1),
        "longest_ms": round(max(took), 1),
        "longest_after_s": round(max(asked)[1], 2),
    }


def migrate_live(cloud: RunningCloud, url: str) -> dict[str, Any]:
    """What ``cloudctl`` says at the end, and when each step began."""
    words = [str(Path(sys.executable).parent / "cloudctl"), "--state", str(cloud.state), "--json"]
    words += ["database", "migrate", "--to", url, "--yes"]
    environment = {**os.environ, "PYTHONPATH": str(cloud.tree)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    *steps, outcome = [json.loads(line) for line in done.stdout.splitlines()]
    outcome["began_s"] = {step["step"]: step["elapsed_s"] for step in reversed(steps)}
    assert outcome["result"] == "committed", (outcome, done.stderr)
    return dict(outcome)


def measured_live(
    cloud: RunningCloud, server: Postgres, rows: int, count: int, seconds: float
) -> Iterator[tuple[str, Any]]:
    cloud.start()
    tokens = [log_in(cloud) for _ in range(TOKENS)]
    admin = log_in(cloud, "cloudd-admin")
    cloud.stop()
    fill(cloud.state / "cloud.sqlite", rows)
    cloud.start()
    url = server.url(server.create())
    clients = [Client(cloud, admin, f"client {number}") for number in range(count)]
    for client in clients:
        client.start()
    time.sleep(2)
    quiet = time.monotonic()
    time.sleep(seconds)
    before = contents(cloud.state / "cloud.sqlite")
    began = time.monotonic()
    outcome = migrate_live(cloud, url)
    ended = time.monotonic()
    time.sleep(2)
    for client in clients:
        client.ends = True
    for client in clients:
        client.join()
    yield "rows", sum(outcome["rows"].values())
    yield "move_s", outcome["duration_s"]
    yield "steps_began_s", outcome["began_s"]
    yield "pause_ms", round(outcome["pause_s"] * 1000, 1)
    for name, method in (("writes", "POST"), ("reads", "GET")):
        yield f"{name}_without", seen(clients, method, quiet, quiet + seconds)
        yield f"{name}_during", seen(clients, method, began, ended)
    yield "failed_requests", sum(client.failed for client in clients)
    after = contents(url)
    there = {row[0] for row in after["identity_user"]}
    made = [user for client in clients for user in client.made]
    yield "acknowledged_writes", len(made)
    yield "acknowledged_writes_lost", len(set(made) - there)
    yield "rows_compared", sum(map(len, before.values()))
    yield "rows_lost", sum(len(before[name] - after[name]) for name in before)
    answers = [ask(cloud, "GET", {"X-Auth-Token": token, "X-Subject-Token": token}).status for token in tokens]
    yield "tokens_valid", f"{answers.count(200)} of {len(tokens)}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=10_000, help="of each kind")
    options.add_argument("--how", choices=["live", "stopped"], default="live")
    options.add_argument("--clients", type=int, default=2, help="of a live move")
    options.add_argument("--seconds", type=float, default=10.0, help="of clients without a move")
    chosen = options.parse_args()
    cloud, server = RunningCloud(), Postgres(durable=True)
    try:
        server.make()
        found = (
            measured(cloud, server, chosen.rows)
            if chosen.how == "stopped"
            else measured_live(cloud, server, chosen.rows, chosen.clients, chosen.seconds)
        )
        json.dump(dict(found), sys.stdout, indent=2)
        print()
    finally:
        cloud.remove()
        server.remove()


if __name__ == "__main__":
    main()
