# -*- test-case-name: tests.cluster.test_faults -*-
"""
Faults between the nodes of a cloud, played while clients order tasks and make records through every node.

Each is a function of a cluster that is well and gives figures; it leaves the cluster well.  ``play`` runs one under
clients, and has what they were told judged.
"""

from __future__ import annotations

import json
import secrets
import signal
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.event_stream import ask, log_in

from .clients import Asking, Clients, answers
from .cloud import Cluster, Node
from .history import Entry, History, Verdict, judge
from .relay import Relay

CLOCK_LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"  # Debian's package libfaketime
NOTICED_S = 40.0  # by TCP within 10 s; calls have patience for 15 s besides
BACK_S = 40.0
REST_S = 3.0

Figures = dict[str, Any]


@frozen
class Played:
    """
    :ivar figures: what the fault itself found out
    :ivar silence_s: longest time without an accepted order at each node
    """

    name: str
    figures: Figures
    verdict: Verdict
    silence_s: dict[str, float]
    well: dict[str, bool]

    @property
    def is_good(self) -> bool:
        return self.verdict.is_good and all(self.well.values())

    def told(self) -> dict[str, Any]:
        return {
            "fault": self.name,
            "good": self.is_good,
            **self.figures,
            "longest_without_an_accepted_order_s": self.silence_s,
            "well_afterwards": self.well,
            **self.verdict.told(),
        }


def play(cluster: Cluster, fault: Callable[[Cluster], Figures], history: Path) -> Played:
    """
    One fault.

    :param history: a file that is not there yet
    """
    token, _ = log_in(cluster.nodes[0], "cloudd-admin")
    clients = Clients(cluster, History(history), rate=6.0, wanted=10**6, token=token)
    clients.start()
    began = time.monotonic()
    try:
        time.sleep(REST_S)
        figures = fault(cluster)
        time.sleep(REST_S)
        well = {node.name: answers(node) for node in cluster.nodes}
    finally:
        clients.stop()
    ended = time.monotonic()
    cluster.wait(lambda: cluster.count_open() == 0, "all tasks have ended")
    entries = clients.history.entries
    verdict = judge(entries, cluster.ending_of(entries))
    silence = {node.name: _silence_s(entries, node.name, began, ended) for node in cluster.nodes}
    return Played(fault.__name__, figures, verdict, silence, well)


def _silence_s(entries: list[Entry], node: str, began: float, ended: float) -> float:
    good = sorted(
        each.ended for each in entries if each.node == node and (each.what, each.fate) == ("task", "accepted")
    )
    times = [began, *good, ended]
    return round(max(after - before for before, after in pairwise(times)), 1)


# ---- what of a node can be seen from outside


def database_part(node: Node) -> dict[str, str]:
    """What its health says of the database; empty: it says nothing."""
    try:
        _status, answer = Asking(node)("GET", "/health")
    except OSError:
        return {}
    parts = answer.get("parts", {}) if isinstance(answer, dict) else {}
    return dict(parts.get("database", {}))


def _noticed(cluster: Cluster, node: Node) -> float:
    """Seconds until a node's health says that its database is away; the cause names the server."""
    began = time.monotonic()
    cluster.wait(
        lambda: database_part(node).get("status") == "failing", f"{node.name} says that its database is away", NOTICED_S
    )
    address = cluster.hosts["db"].address
    cluster.wait(lambda: address in database_part(node).get("cause", ""), "the cause names the server", NOTICED_S)
    return round(time.monotonic() - began, 1)


def _back(cluster: Cluster, *nodes: Node) -> float:
    """Seconds until they are well."""
    began = time.monotonic()
    for node in nodes:
        cluster.wait(lambda node=node: answers(node, 1), f"{node.name} is well again", BACK_S)  # type: ignore[misc]
    return round(time.monotonic() - began, 1)


# ---- links


def _cut(cluster: Cluster, nodes: list[Node], *, there: bool, back: bool) -> Figures:
    database = cluster.hosts["db"]
    for node in nodes:
        if there:
            cluster.network.cut(node.host, database)
        if back:
            cluster.network.cut(database, node.host)
    try:
        noticed = {node.name: _noticed(cluster, node) for node in nodes}
        named = [node.name for node in nodes]
        cluster.wait(
            lambda: all(cluster.states().get(name) == "lost" for name in named), f"{named} are shown as lost", 60
        )
    finally:
        cluster.network.mend()
    found = {"health_says_so_s": noticed, "back_s": _back(cluster, *nodes)}
    ready = dict.fromkeys(cluster.names, "ready")
    cluster.wait(lambda: cluster.states() == ready, "all are ready again")
    return found


def database_unheard(cluster: Cluster) -> Figures:
    """What the last node sends reaches the database, no answer comes back."""
    return _cut(cluster, cluster.nodes[-1:], there=False, back=True)


def node_unheard(cluster: Cluster) -> Figures:
    """What the last node sends does not reach the database."""
    return _cut(cluster, cluster.nodes[-1:], there=True, back=False)


def halves(cluster: Cluster) -> Figures:
    """The first node with the database and the broker on one side, all others on the other."""
    first, others = cluster.nodes[0], cluster.nodes[1:]
    for node in others:
        cluster.network.part(node.host, first.host)
        cluster.network.part(node.host, cluster.hosts["mq"])
    return _cut(cluster, others, there=True, back=True)


def bad_link(cluster: Cluster) -> Figures:
    """Between the last node and the database: 20 ms each way, stalls, resets, 200 kB/s."""
    node = cluster.nodes[-1]
    relay = Relay((cluster.hosts["db"].address, cluster.postgres.port), cluster.network.address)
    relay.start()
    settings = node.settings_file.read_text()
    url = cluster.postgres.url(cluster.database).replace(
        f"{cluster.hosts['db'].address}:{cluster.postgres.port}", f"{relay.address}:{relay.port}"
    )
    try:
        node.settings_file.write_text(f'{settings}\n[database]\nurl = "{url}"\n')
        node.stop()
        node.start()
        relay.delay_s, relay.stall, relay.stall_s = 0.02, 0.01, 1.0
        relay.reset, relay.bytes_per_s = 0.01, 200_000
        time.sleep(20)
        return {"stalls": relay.stalls, "resets": relay.resets}
    finally:
        node.settings_file.write_text(settings)
        node.stop()
        relay.stop()
        node.start()


# ---- servers, hosts


def servers_restarted(cluster: Cluster) -> Figures:
    """Database and broker end at once, as by a crash, and are there again 5 s later."""
    cluster.postgres.stop(signal.SIGQUIT)
    if cluster.with_broker:
        cluster.broker.stop(signal.SIGKILL)
    time.sleep(5)
    cluster.postgres.start()
    if cluster.with_broker:
        cluster.broker.launch()
    return {"back_s": _back(cluster, *cluster.nodes)}


def power_cut(cluster: Cluster) -> Figures:
    """All processes of the last node at once; it is started again 5 s later."""
    node = cluster.nodes[-1]
    node.kill()
    time.sleep(5)
    began = time.monotonic()
    node.start()
    return {"ready_s": round(time.monotonic() - began, 1)}


# ---- clocks


def _with_clock(cluster: Cluster, shift: str) -> Figures:
    """Let the last node work by another clock; what it lets in and gives out is good at the others."""
    node, first = cluster.nodes[-1], cluster.nodes[0]
    node.stop()
    node.more = {"LD_PRELOAD": CLOCK_LIBRARY, "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    try:
        node.start()
        apart = round(_seen_clock(node) - time.time())
        cluster.wait(lambda: cluster.states() == dict.fromkeys(cluster.names, "ready"), "its row is young")
        tokens = _tokens_cross(node, first)
        _password_changed(first, node)
        time.sleep(10)
        assert cluster.states()[node.name] == "ready", "a clock that is off has made it silent"
    finally:
        node.stop()
        node.more = {}
        node.start()
    return {"clock_apart_s": apart, **tokens}


def _seen_clock(node: Node) -> float:
    """What time it is there, by its own processes."""
    _status, headers, _body = ask(node, "api", "GET", "/health")
    return parsedate_to_datetime(headers["date"]).timestamp()


def _tokens_cross(node: Node, other: Node) -> Figures:
    """A token that one gave is good at the other; after a log-out at the one it is good at neither."""
    body = _login_body(other)
    found = {}
    for giver, taker in ((node, other), (other, node)):
        status, headers, text = ask(giver, "api", "POST", "/identity/v3/auth/tokens", body, _JSON)
        assert status == 201, text
        token = headers["x-subject-token"]
        fields = {"X-Auth-Token": token, "X-Subject-Token": token}
        for each in (giver, taker):
            status, _, text = ask(each, "api", "GET", "/identity/v3/auth/tokens", None, fields)
            assert status == 200, (giver.name, each.name, text)
        status, _, text = ask(taker, "api", "DELETE", "/identity/v3/auth/tokens", None, fields)
        assert status == 204, text
        deadline = time.monotonic() + 5
        while (status := ask(giver, "api", "GET", "/identity/v3/auth/tokens", None, fields)[0]) != 401:
            assert time.monotonic() < deadline, status
        found[f"token_of_{giver.name}"] = "good at both, then at neither"
    return found


def _password_changed(here: Node, there: Node) -> None:
    """Who has got a new password through one node can log in through the other, and work with it."""
    status, headers, text = ask(here, "api", "POST", "/identity/v3/auth/tokens", _login_body(here), _JSON)
    assert status == 201, text
    admin = {**_JSON, "X-Auth-Token": headers["x-subject-token"]}
    name = f"user-{secrets.token_hex(4)}"
    made = {"user": {"name": name, "domain_id": "default", "password": "one"}}
    status, _, text = ask(here, "api", "POST", "/identity/v3/users", json.dumps(made), admin)
    assert status == 201, text
    path = f"/identity/v3/users/{json.loads(text)['user']['id']}"
    status, _, text = ask(here, "api", "PATCH", path, json.dumps({"user": {"password": "two"}}), admin)
    assert status == 200, text
    status, headers, text = ask(there, "api", "POST", "/identity/v3/auth/tokens", _login(name, "two"), _JSON)
    assert status == 201, text
    token = headers["x-subject-token"]
    fields = {"X-Auth-Token": token, "X-Subject-Token": token}
    for node in (there, here):
        status, _, text = ask(node, "api", "GET", "/identity/v3/auth/tokens", None, fields)
        assert status == 200, (node.name, text)


_JSON = {"Content-Type": "application/json"}


def _login_body(first: Node) -> str:
    return _login(*first.login("cloudd-admin"))


def _login(name: str, password: str) -> str:
    user = {"name": name, "domain": {"name": "Default"}, "password": password}
    return json.dumps({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}})


def clock_ahead(cluster: Cluster) -> Figures:
    """By five minutes."""
    return _with_clock(cluster, "+300s")


def clock_behind(cluster: Cluster) -> Figures:
    """By five minutes."""
    return _with_clock(cluster, "-300s")


# ---- code


def old_code(cluster: Cluster) -> Figures:
    """All nodes but the last are upgraded, twice; the registry shows who runs what."""
    node = cluster.nodes[-1]
    for _ in range(2):
        tree = str(cluster.tree())
        for each in cluster.nodes[:-1]:
            assert each.ctl("upgrade", "--to", tree, "--how", "swap", "--yes")["result"] == "committed"
        time.sleep(3)
    hashes = cluster.hashes()
    news = {hashes[each.name] for each in cluster.nodes[:-1]}
    assert len(news) == 1 and hashes[node.name] not in news, hashes
    time.sleep(5)
    assert node.ctl("upgrade", "--to", tree, "--how", "swap", "--yes")["result"] == "committed"
    cluster.wait(lambda: len(set(cluster.hashes().values())) == 1, "all run the same code")
    return {"codes": 2}


def upgrade_without_broker(cluster: Cluster) -> Figures:
    """One node after the other, by a swap and by a hand-over, while the broker is away."""
    cluster.broker.stop(signal.SIGKILL)
    try:
        for how in ("swap", "hand-over"):
            tree = str(cluster.tree())
            for node in cluster.nodes:
                outcome = node.ctl("upgrade", "--to", tree, "--how", how, "--yes")
                assert outcome["result"] == "committed", outcome
    finally:
        cluster.broker.launch()
    return {"upgrades": 2 * len(cluster.nodes)}


FAULTS = (
    servers_restarted,
    power_cut,
    database_unheard,
    node_unheard,
    halves,
    bad_link,
    clock_ahead,
    clock_behind,
    old_code,
    upgrade_without_broker,
)
