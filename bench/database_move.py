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


Rows = dict[str, Callable[[int], dict[str, Any]]]
MADE = {"created_us": 1_700_000_000_000_000}
CHANGED = {**MADE, "updated_us": 1_700_000_000_000_000}


def kinds(count: int) -> Rows:
    """Table -> a row by its number; each table behind those that it refers to."""
    return {
        **identity_rows(count), **image_rows(), **definition_rows(), **network_rows(), **compute_rows(),
        **host_rows(), **server_rows(),
    }  # fmt: skip


def identity_rows(count: int) -> Rows:
    return {
        "identity_domain": lambda n: {"id": f"d{n}", "name": f"domain {n}", **MADE},
        "identity_project": lambda n: {"id": f"p{n}", "name": f"project {n}", "domain_id": f"d{n}", **MADE},
        "identity_user": lambda n: {"id": f"u{n}", "name": f"user {n}", "domain_id": f"d{n}", **MADE},
        "identity_role": lambda n: {"id": f"r{n}", "name": f"role {n}", **MADE},
        "identity_implied_role": lambda n: {"prior_id": f"r{n}", "implied_id": f"r{(n + 1) % count}"},
        "identity_project_role": lambda n: {"user_id": f"u{n}", "project_id": f"p{n}", "role_id": f"r{n}"},
        "identity_domain_role": lambda n: {"user_id": f"u{n}", "domain_id": f"d{n}", "role_id": f"r{n}"},
        "identity_application_credential": lambda n: {
            "id": f"a{n}", "user_id": f"u{n}", "project_id": f"p{n}", "name": "n", "secret_hash": "h", **MADE
        },
        "identity_application_credential_role": lambda n: {"credential_id": f"a{n}", "role_id": f"r{n}"},
        "identity_ec2_credential": lambda n: {
            "access": f"k{n}", "user_id": f"u{n}", "project_id": f"p{n}", "sealed_secret": "s", **MADE
        },
        "identity_revocation": lambda n: {"subject": f"user:u{n}", "issued_before_us": 0, **MADE},
    }  # fmt: skip


def image_rows() -> Rows:
    """No image has data: none is in the object store."""
    return {
        "images": lambda n: {
            "id": f"i{n}", "project_id": f"p{n}", "name": f"image {n}", "status": "queued", "visibility": "shared",
            "disk_format": "qcow2", "container_format": "bare", "min_disk": 1, "min_ram": 64, "protected": False,
            "hidden": False, **CHANGED,
        },
        "image_properties": lambda n: {"image_id": f"i{n}", "name": "os_distro", "value": "debian"},
        "image_tags": lambda n: {"image_id": f"i{n}", "tag": "ü"},
        "image_members": lambda n: {"image_id": f"i{n}", "project_id": f"p{n + 1}", "status": "pending", **CHANGED},
    }  # fmt: skip


def definition_rows() -> Rows:
    return {
        "metadef_namespaces": lambda n: {
            "id": f"m{n}", "name": f"space {n}", "project_id": f"p{n}", "visibility": "private", "protected": False,
            **CHANGED,
        },
        "metadefs": lambda n: {
            "namespace_id": f"m{n}", "kind": "tag", "name": "tag", "content": '{"name": "tag"}', **CHANGED
        },
    }  # fmt: skip


def network_rows() -> Rows:
    def common(n: int) -> dict[str, Any]:
        return {"project_id": f"p{n}", "name": f"name {n}", **CHANGED}

    return {
        "networks": lambda n: {
            "id": f"n{n}", "admin_state_up": True, "shared": False, "external": False, "mtu": 1500,
            "port_security_enabled": True, "segment": n + 1, **common(n),
        },
        "subnets": lambda n: {
            "id": f"s{n}", "network_id": f"n{n}", "ip_version": 4, "cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.1",
            "enable_dhcp": True, "allocation_pools": '[["10.0.0.2", "10.0.0.254"]]', "dns_nameservers": "[]",
            "host_routes": "[]", **common(n),
        },
        "ports": lambda n: {
            "id": f"o{n}", "network_id": f"n{n}", "mac_address": "fa:16:3e:00:00:01", "admin_state_up": True,
            "status": "DOWN", "device_id": "", "device_owner": "", "host": "", "vnic_type": "normal", "profile": "{}",
            "port_security_enabled": True, "address_pairs": "[]", **common(n),
        },
        "port_addresses": lambda n: {
            "subnet_id": f"s{n}", "address": f"{0x0A000002:032x}", "port_id": f"o{n}", "position": 0
        },
        "security_groups": lambda n: {"id": f"g{n}", "stateful": True, "default_of": f"p{n}", **common(n)},
        "security_rules": lambda n: {
            "id": f"e{n}", "project_id": f"p{n}", "security_group_id": f"g{n}", "direction": "ingress",
            "ethertype": "IPv4", "remote_group_id": f"g{n}", **CHANGED,
        },
        "port_security_groups": lambda n: {"port_id": f"o{n}", "security_group_id": f"g{n}"},
        "network_tags": lambda n: {"resource_id": f"n{n}", "tag": "ü"},
        "network_quotas": lambda n: {"project_id": f"p{n}", "resource": "port", "most": n},
    }  # fmt: skip


def compute_rows() -> Rows:
    return {
        "keypairs": lambda n: {
            "user_id": f"u{n}", "name": "key", "number": n + 1, "type": "ssh", "fingerprint": "00:11",
            "public_key": "ssh-ed25519 AAAA", **MADE,
        },
        "flavors": lambda n: {
            "id": f"f{n}", "flavor_id": f"f{n}", "name": f"flavor {n}", "ram_mib": 512, "vcpus": 1, "disk_gib": 1,
            "ephemeral_gib": 0, "swap_mib": 0, "rxtx_factor": 1.0, "is_public": False, "disabled": False, **CHANGED,
        },
        "flavor_specs": lambda n: {"flavor": f"f{n}", "name": "hw:cpu_policy", "value": "shared"},
        "flavor_access": lambda n: {"flavor": f"f{n}", "project_id": f"p{n}"},
        "server_groups": lambda n: {
            "id": f"h{n}", "project_id": f"p{n}", "user_id": f"u{n}", "name": "group", "policy": "affinity", **MADE
        },
        "server_group_members": lambda n: {"group_id": f"h{n}", "server_id": f"v{n}"},
        "compute_limits": lambda n: {"project_id": f"p{n}", "user_id": "", "resource": "cores", "value": n},
        "server_shares": lambda n: {
            "server_id": f"v{n}", "project_id": f"p{n}", "user_id": f"u{n}", "name": "server", "flavor": "m1.tiny",
            "vcpus": 1, "ram_mib": 512, "disk_gib": 1, "taken_us": MADE["created_us"],
        },
    }  # fmt: skip


def host_rows() -> Rows:
    """Hosts that have not said anything for a long time."""
    return {
        "compute_hosts": lambda n: {
            "node_id": f"x{n}", "name": f"host-{n}", "driver": "simulated", "kind": "simulated",
            "hypervisor_version": 1, "vcpus": 8, "memory_mib": 8192, "disk_gib": 100, "vcpu_ratio": 4.0,
            "memory_ratio": 1.0, "disk_ratio": 1.0, "architecture": "x86_64", "cpu_model": "none", "real": False,
            "is_enabled": False, **CHANGED,
        },
        "aggregates": lambda n: {"id": f"y{n}", "number": n + 1, "name": f"aggregate {n}", **MADE},
        "aggregate_hosts": lambda n: {"aggregate_id": f"y{n}", "node_id": f"x{n}"},
    }  # fmt: skip


def server_rows() -> Rows:
    """Servers that came to no host."""
    return {
        "servers": lambda n: {
            "id": f"v{n}", "project_id": f"p{n}", "user_id": f"u{n}", "name": f"server {n}", "host_name": "server",
            "flavor": f"f{n}", "config_drive": False, "disk_config": "MANUAL", "reservation_id": f"r-{n}",
            "state": "error", "wanted": "running", "items": '{"a": "ü"}', **CHANGED,
        },
        "server_tags": lambda n: {"server_id": f"v{n}", "tag": "ü"},
        "server_interfaces": lambda n: {"server_id": f"v{n}", "port_id": f"o{n}", "position": 0, "is_ours": True},
        "server_actions": lambda n: {
            "id": f"w{n}", "server_id": f"v{n}", "action": "create", "request_id": f"req-{n}", "project_id": f"p{n}",
            "user_id": f"u{n}", "started_us": 1, "updated_us": 1,
        },
        "server_events": lambda n: {
            "id": f"z{n}", "action_id": f"w{n}", "name": "compute__do_build_and_run_instance", "result": "Error",
            "started_us": 1, "finished_us": 2,
        },
        "server_claims": lambda n: {
            "server_id": f"v{n}", "node_id": f"x{n}", "purpose": "server", "vcpus": 1, "memory_mib": 512,
            "disk_gib": 1, **MADE,
        },
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
