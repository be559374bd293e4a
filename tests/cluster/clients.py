"""Clients that enter what they ask for in a history: each is a thread with a connection to one node."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from attrs import define, field

from .cloud import Cluster, Node
from .counted import PATH
from .history import Fate, History

TIMEOUT_S = 40.0
REST_S = 0.2  # after a failure
DOUBT = "look whether it was done"  # what a refusal says when it may be none


@define
class Asking:
    """
    A keep-alive connection to one node.

    :ivar opened: how many connections there were
    """

    node: Node
    opened: int = 0
    _connection: http.client.HTTPConnection | None = None

    def __call__(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """
        Status and the answer, parsed.

        :raises OSError, http.client.HTTPException: it broke off
        """
        if self._connection is None:
            self._connection = self.node.connect("api", TIMEOUT_S)
            self.opened += 1
        try:
            self._connection.request(method, path, body, headers or {})
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if answer.will_close:
            self.close()
        try:
            return answer.status, json.loads(content)
        except ValueError:
            return answer.status, content.decode(errors="replace")

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def fate_of(status: int, answer: Any, good: int) -> tuple[Fate, str]:
    """What an answer says of a request that changes something."""
    if status == good:
        return "accepted", ""
    said = f"{status} {json.dumps(answer)[:300]}"
    return ("refused" if status == 503 and DOUBT not in said else "unknown"), said


@define
class Clients:
    """
    :param rate: of orders a second, of all together
    :param wanted: accepted orders, after which no more are made
    :param records: also make projects and look for them at other nodes
    :param token: an administrator's
    """

    cluster: Cluster
    history: History
    rate: float = 15.0
    wanted: int = 1000
    records: bool = True
    token: str = ""
    accepted: int = field(init=False, default=0)
    _ended: threading.Event = field(init=False, factory=threading.Event)
    _threads: list[threading.Thread] = field(init=False, factory=list)
    _lock: threading.Lock = field(init=False, factory=threading.Lock)

    def start(self) -> None:
        for node in self.cluster.nodes:
            self._begin(self._order, node)
            if self.records:
                self._begin(self._record, node)

    def _begin(self, work: Callable[[Node], None], node: Node) -> None:
        self._threads.append(threading.Thread(target=work, args=(node,), daemon=True))
        self._threads[-1].start()

    @property
    def is_done(self) -> bool:
        return self.accepted >= self.wanted

    def stop(self) -> None:
        """When each has its last answer."""
        self._ended.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S + 5)
        self.history.close()

    def _order(self, node: Node) -> None:
        ask, pause_s = Asking(node), len(self.cluster.nodes) / self.rate
        while not self._ended.is_set() and (key := self._next()):
            entry = self.history.ask("task", key, node.name, lambda key=key: self._send_order(ask, key))  # type: ignore[misc]
            with self._lock:
                self.accepted += entry.fate == "accepted"
            self._ended.wait(pause_s if entry.fate == "accepted" else max(pause_s, REST_S))
        ask.close()

    def _next(self) -> str:
        return "" if self.is_done else str(next(self.cluster.numbers))

    @staticmethod
    def _send_order(ask: Asking, key: str) -> tuple[Fate, str]:
        status, answer = ask("POST", PATH + key, "", {"Content-Length": "0"})
        fate, said = fate_of(status, answer, 202)
        return fate, answer["id"] if fate == "accepted" else said

    def _record(self, node: Node) -> None:
        ask = Asking(node)
        others = [(other.name, Asking(other)) for other in self.cluster.nodes if other is not node]
        while not self._ended.is_set():
            key = f"record-{node.name}-{next(self.cluster.numbers)}"
            self.history.ask("record", key, node.name, lambda key=key: self._make(ask, key))  # type: ignore[misc]
            name, other = random.choice(others or [(node.name, ask)])
            self.history.ask("look", key, name, lambda key=key, other=other: self._look(other, key))  # type: ignore[misc]
            self._ended.wait(0.5)
        for each in (ask, *(other for _name, other in others)):
            each.close()

    def _make(self, ask: Asking, key: str) -> tuple[Fate, str]:
        body = json.dumps({"project": {"name": key, "domain_id": "default"}})
        return fate_of(*ask("POST", "/identity/v3/projects", body, self._headers()), 201)

    def _look(self, ask: Asking, key: str) -> tuple[Fate, str]:
        status, answer = ask("GET", f"/identity/v3/projects?name={quote(key)}", None, self._headers())
        if status != 200:
            return "unknown", f"{status} {json.dumps(answer)[:300]}"
        return ("accepted" if answer["projects"] else "refused"), ""

    def _headers(self) -> dict[str, str]:
        return {"X-Auth-Token": self.token, "Content-Type": "application/json"}


def answers(node: Node, seconds: float = 30.0) -> bool:
    """Whether a node says that it is well, within that time."""
    ask, deadline = Asking(node), time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException):
            if ask("GET", "/health")[0] == 200:
                ask.close()
                return True
        time.sleep(0.2)
    return False


def unwell(node: Node) -> dict[str, str]:
    """Which parts of a node say that they are not well, and why; ``node``: it does not answer."""
    try:
        _status, answer = Asking(node)("GET", "/health")
    except (OSError, http.client.HTTPException) as error:
        return {"node": f"{type(error).__name__}: {error}"}
    parts = answer.get("parts", {}) if isinstance(answer, dict) else {"answer": {"cause": str(answer)}}
    return {name: part.get("cause", "") for name, part in parts.items() if part.get("status") != "ok"}
