"""A client of ``/events`` over a real socket: keeps what it hears, on one connection for as long as it lasts."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.running_cloud import RunningCloud

PATIENCE_S = 30.0


class EventStream:
    """
    One stream, read by a thread.

    :ivar status: of the answer
    :ivar events: the events so far, each with ``id``, ``event`` and ``data`` (parsed)
    :ivar last_id: also of lines without an event
    :ivar ended: how it ended, or empty while it is open
    """

    def __init__(self, cloud: RunningCloud, token: str, path: str = "/events", last_id: str = "") -> None:
        self._connection = cloud.connect("api", PATIENCE_S)
        headers = {"X-Auth-Token": token, **({"Last-Event-ID": last_id} if last_id else {})}
        self._connection.request("GET", path, headers=headers)
        self._answer = self._connection.getresponse()
        self.status = self._answer.status
        self.events: list[dict[str, Any]] = []
        self.last_id = last_id
        self.ended = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        fields: dict[str, Any] = {}
        try:
            while line := self._answer.readline().decode():
                name, _, value = line.rstrip("\n").partition(": ")
                if line == "\n":
                    if "data" in fields:
                        self.events.append({**fields, "data": json.loads(fields["data"])})
                    fields = {}
                elif name:
                    fields[name] = value
                    self.last_id = fields.get("id", self.last_id)
            self.ended = "in order"
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            self.ended = repr(error)

    def close(self) -> None:
        """Go away."""
        if self._connection.sock is not None:
            self._connection.sock.shutdown(2)
        self._thread.join(PATIENCE_S)
        self._connection.close()

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        """Until something is so."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"in vain: {what}; ended: {self.ended!r}; heard: {self.events[-3:]}")
            time.sleep(0.01)

    def names(self, kind: str) -> list[str]:
        """What the events of a type are about: containers or objects."""
        key = "name" if kind.startswith("object") else "container"
        return [event["data"][key] for event in self.events if event["event"] == kind]


def log_in(cloud: RunningCloud, name: str = "cloudd") -> tuple[str, str]:
    """Token and project of a cloud in ``clouds.yaml``."""
    found: dict[str, str] = {}
    inside = False
    for line in (cloud.state / "clouds.yaml").read_text().splitlines():
        if line.startswith("  ") and line[2] != " ":
            inside = line.strip() == f"{name}:"
        key, _, value = line.strip().partition(": ")
        if inside:
            found[key] = value.strip("\"'")
    domain = {"name": "Default"}
    user = {"name": found["username"], "domain": domain, "password": found["password"]}
    scope = {"project": {"name": found["project_name"], "domain": domain}}
    status, headers, body = ask(
        cloud,
        "api",
        "POST",
        "/identity/v3/auth/tokens",
        json.dumps({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}),
        {"Content-Type": "application/json"},
    )
    assert status == 201, body
    return headers["x-subject-token"], json.loads(body)["token"]["project"]["id"]


def ask(
    cloud: RunningCloud,
    face: str,
    method: str,
    path: str,
    body: str | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], str]:
    """One request on a connection of its own: status, headers, body."""
    connection = cloud.connect(face, PATIENCE_S)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()
