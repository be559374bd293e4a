# -*- test-case-name: tests.cli.test_nodes -*-
"""``cloudctl node``: the machines of a cloud, and becoming one of them."""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from importlib.metadata import PackageNotFoundError, version

import click
import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cloudd.control import NodeFacts, NodeList, NodeLive
from cloudd.joining import BadToken, JoinFailed, JoinToken, NodeFolder, NodeFolderError, join

from ._client import RefusedByDaemon
from ._context import Context, Exit, ask, fail

_STYLES = {"ready": "green", "lost": "red", "removed": "dim", "draining": "yellow", "drained": "yellow"}
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Span(click.ParamType[float]):
    """A number with a unit: ``90s``, ``15m``, ``1h``, ``2d``; gives seconds."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"([0-9]{1,9})([smhd])", str(value))
        if found is None:
            self.fail(f"{value!r} is no time: write 90s, 15m, 1h or 2d", param, ctx)
        return float(int(found[1]) * _UNITS[found[2]])


@click.group()
def node() -> None:
    """The machines of the cloud: see docs/nodes.md."""


@node.command("list")
@click.option("--all", "with_removed", is_flag=True, help="Those that were removed as well.")
@click.option("--live", "with_live", is_flag=True, help="Ask each what it runs and how it does, now.")
@click.pass_obj
def list_nodes(context: Context, with_removed: bool, with_live: bool) -> None:
    """All nodes: state, roles, version, load, last contact; and who has which duty."""
    found = ask(context, context.client.nodes)
    if with_live:
        live = {each.id: each for each in ask(context, context.client.live_nodes).nodes}
        nodes = [msgspec.structs.replace(each, live=live.get(each.id)) for each in found.nodes]
        found = NodeList(nodes=nodes, duties=found.duties)
    if not with_removed:
        kept = [each for each in found.nodes if each.state != "removed"]
        found = NodeList(nodes=kept, duties=found.duties)
    context.show(found, nodes_view(found))


@node.command("show")
@click.argument("named", metavar="NODE")
@click.pass_obj
def show_node(context: Context, named: str) -> None:
    """All that is known of NODE, by name or id, and what it says itself."""
    found = ask(context, lambda: context.client.node(named))
    try:
        [live] = context.client.live_nodes(found.id).nodes
    except RefusedByDaemon as error:  # one of before there was such a question
        live = NodeLive(id=found.id, name=found.name, answers=False, cause=str(error))
    found = msgspec.structs.replace(found, live=live)
    context.show(found, node_view(found, time.time()))


@node.command()
@click.option("--roles", default="", metavar="ROLE,ROLE", help="Of the node that joins.  Default: api,tasks.")
@click.option("--valid", "valid_s", default="1h", show_default=True, type=Span(), help="How long: 15m, 1h, 2d.")
@click.pass_obj
def token(context: Context, roles: str, valid_s: float) -> None:
    """Print what lets one machine join, once: keep it secret."""
    wanted = [role.strip() for role in roles.split(",") if role.strip()]
    found = ask(context, lambda: context.client.node_token(wanted, valid_s))
    context.show(found, Text(found.token, overflow="ignore", no_wrap=True))
    if not context.as_json:
        click.echo(
            f"On the new machine, within {found.valid_s:.0f} s: cloudctl node join TOKEN "
            f"(it must reach {found.address})",
            err=True,
        )


@node.command("join")
@click.argument("text", metavar="TOKEN")
@click.option("--name", default="", help="What this node is called.  Default: the host's name.")
@click.option("--again", is_flag=True, help="It is one already, and its certificate has ended: it stays the one it is.")
@click.pass_obj
def join_cloud(context: Context, text: str, name: str, again: bool) -> None:
    """
    Make this machine a node of the cloud that TOKEN is from; with "-" it is read from standard input.

    Its certificate, keys and settings go into the state folder; then start the daemon.
    """
    folder = NodeFolder(context.client.state)
    if text == "-":
        text = sys.stdin.read(4_096)
    try:
        token = JoinToken.read(text)
        (folder.check_node if again else folder.check_free)()
        called = name or socket.gethostname().partition(".")[0]
        answer = join(token, folder, name=called, version=_own_version(), again=again)
    except BadToken as error:
        fail(context, Exit.USAGE, str(error))
    except (JoinFailed, NodeFolderError, OSError) as error:
        fail(context, Exit.REFUSED, str(error))
    if context.as_json:
        click.echo(json.dumps({"id": answer.node_id, "name": answer.name, "roles": answer.roles}, indent=2))
    else:
        click.echo(
            f"This machine is node {answer.name} ({', '.join(answer.roles)}).  "
            f"Start it: twistd -n cloudd --state {context.client.state}"
        )


@node.command()
@click.argument("named", metavar="NODE")
@click.option("--wait", is_flag=True, help="Wait until nothing runs on it any more.")
@click.pass_obj
def drain(context: Context, named: str, wait: bool) -> None:
    """Have NODE begin no tasks and give its duties away; its clients are served on."""
    found = ask(context, lambda: context.client.drain_node(named))
    while wait and found.state == "draining":
        time.sleep(0.5)
        found = ask(context, lambda: context.client.node(named))
    context.show(found, node_view(found, time.time()))
    sys.exit(Exit.OK if found.state in {"draining", "drained"} else Exit.REFUSED)


@node.command("return")
@click.argument("named", metavar="NODE")
@click.pass_obj
def return_node(context: Context, named: str) -> None:
    """Have NODE, which was drained, work again."""
    found = ask(context, lambda: context.client.return_node(named))
    context.show(found, node_view(found, time.time()))


@node.command()
@click.argument("named", metavar="NODE")
@click.option("--force", is_flag=True, help="Also one that is at work.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def remove(context: Context, named: str, force: bool, yes: bool) -> None:
    """Have NODE be one no more: it gets no certificate again, and its duties go to others."""
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody can be asked here: give --yes")
        click.confirm(f"Remove node {named}, for good?", abort=True)
    found = ask(context, lambda: context.client.remove_node(named, force=force))
    context.show(found, node_view(found, time.time()))


def nodes_view(found: NodeList) -> RenderableType:
    """A line each; below, who has which duty."""
    table = Table(box=None, pad_edge=False)
    asked = any(each.live is not None for each in found.nodes)
    for name in ("node", "state", "roles", "version", "code", "load", "tasks", "last contact", *(["now"] * asked)):
        table.add_column(name, overflow="fold")
    for each in found.nodes:
        table.add_row(
            Text(each.name + (" (this one)" if each.own else "")),
            Text(_state(each), _STYLES.get(each.state, "")),
            Text(",".join(each.roles)),
            Text(each.version),
            Text(each.hash[:12]),
            Text(_load(each)),
            Text(str(each.load.get("tasks", ""))),
            Text(_contact(each)),
            *([_now(each.live)] if asked else []),
        )
    duties = [
        Text(f"duty {duty.name}: {duty.node or 'nobody now'}" + (f" ({duty.owner})" if duty.owner else ""))
        for duty in found.duties
    ]
    return Group(table, *duties)


def node_view(found: NodeFacts, now: float) -> RenderableType:
    """Every fact that there is, one a line."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    grid.add_row("node", Text(found.name + (" (this one)" if found.own else "")))
    since = f" for {_span(found.state_s)}" + (f", by {found.state_by}" if found.state_by else "")
    grid.add_row("state", Text(found.state + since, style=_STYLES.get(found.state, "")))
    facts = {
        "id": found.id,
        "roles": ", ".join(found.roles),
        "address": found.address,
        "version": found.version,
        "code": f"{found.hash[:12]}, generation {found.generation}" if found.hash else "",
        "load": _load(found),
        "tasks": str(found.load.get("tasks", "")),
        "last contact": _contact(found),
        "certificate": f"for another {_span(found.certificate - now)}" if found.certificate else "",
        "reads": "\n".join(f"{name}: {', '.join(map(str, each))}" for name, each in sorted(found.payloads.items())),
    }
    for name, value in facts.items():
        if value:
            grid.add_row(name, Text(value))
    if found.live is not None:
        grid.add_row("now", _now(found.live))
    return grid


def _now(live: NodeLive | None) -> Text:
    """What a node says itself, or why it says nothing."""
    if live is None:
        return Text("")
    if not live.answers or live.status is None or live.health is None:
        return Text(live.cause, style="red")
    code, change = live.status.code, live.status.upgrade
    lines = [f"answers in {live.took_ms:.1f} ms: code {code.hash[:12]}, generation {code.generation}"]
    if change is not None:
        lines.append(f"under way: {change.step}: {change.text}")
    failing = {name: part.get("cause", "") for name, part in live.health.parts.items() if part.get("status") != "ok"}
    lines += [f"{name} fails: {cause}" for name, cause in sorted(failing.items())] or ["its health is ok"]
    return Text("\n".join(lines), style="red" if failing else "")


def _state(found: NodeFacts) -> str:
    return f"{found.state}, silent" if found.silent and found.state != "lost" else found.state


def _load(found: NodeFacts) -> str:
    load = found.load
    return f"{load['load1']:.2f} of {load.get('cores', '?')}" if isinstance(load.get("load1"), int | float) else ""


def _contact(found: NodeFacts) -> str:
    return "never" if found.age_s is None else f"{_span(found.age_s)} ago"


def _span(seconds: float) -> str:
    whole = max(0, int(seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def _own_version() -> str:
    try:
        return version("cloudd")
    except PackageNotFoundError:
        return "0"
