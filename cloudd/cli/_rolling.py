# -*- test-case-name: tests.cli.test_rolling -*-
"""
Changes of the whole cloud's code: the plan, all nodes in one view while it goes on, and the end of the way back.

The change is the cloud's, not this command's: Ctrl-C leaves it, and ``cloudctl status --rolling`` on any node
shows it again.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import NoReturn

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cloudd.control import Finality, RollingNode, RollingPlan, RollingRequest, RollingStatus, plain

from ._change import confirm
from ._client import RefusedByDaemon, Unreachable
from ._context import Context, Exit, ask, fail
from ._steps import BAR_WIDTH
from ._tables import short

LOOK_S = 1.0
PATIENCE_S = 120.0
"""So long this node's daemon may be away, which may be upgraded itself."""

OPEN = ("queued", "running")
_STYLES = {
    "done": "green", "back": "green", "ordered": "cyan", "settling": "cyan", "returning": "yellow", "away": "yellow",
    "failed": "red", "stuck": "red",
}  # fmt: skip
_PROMISES = {"swap": "swap", "hand-over": "hand-over", "nothing": "has it already", "refused": "refused"}


def upgrade_all(context: Context, request: RollingRequest, *, check: bool, yes: bool) -> NoReturn:
    """Show the plan, ask, begin, and follow until its end."""
    plan = ask(context, lambda: context.client.rolling_plan(request))
    if check or plan.causes:
        context.show(plan, rolling_plan_view(plan))
        sys.exit(Exit.REFUSED if plan.causes else Exit.OK)
    if not context.as_json:
        context.console.print(rolling_plan_view(plan))
    confirm("Upgrade all nodes?", yes=yes)
    fixed = RollingRequest(**{**plain(request), "expected_hash": plan.target_hash})
    follow_all(context, ask(context, lambda: context.client.rolling_upgrade(fixed)))


def roll_back_all(context: Context, parallel: int, *, yes: bool) -> NoReturn:
    """Ask, begin, and follow until its end."""
    release = ask(context, context.client.rolling).release
    if release is not None and release.state == "open":
        confirm(f"Take all nodes back from {short(release.new_hash)}?", yes=yes)
    follow_all(context, ask(context, lambda: context.client.rolling_rollback(parallel)))


def follow_all(
    context: Context,
    found: RollingStatus,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> NoReturn:
    """Show a change of all nodes as it goes, and end with the exit code of its outcome."""
    view = _View(context)
    heard = now()
    with view:
        view.show(found)
        while found.state in OPEN:
            sleep(LOOK_S)
            try:
                found = context.client.rolling()
                heard = now()
            except (RefusedByDaemon, Unreachable) as error:  # this node is changed itself
                if now() - heard > PATIENCE_S:
                    view.close()
                    fail(context, Exit.UNREACHABLE, f"{error}; the change goes on: `cloudctl status --rolling`")
                continue
            view.show(found)
    if not context.as_json:
        context.console.print(rolling_end(found))
    sys.exit(Exit.OK if found.state == "done" else Exit.REFUSED)


class _View:
    """All nodes, drawn anew in one place on a terminal; elsewhere a line for what has changed, or JSON lines."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._live: Live | None = None
        self._shown: dict[str, str] = {}
        self._last = ""

    def __enter__(self) -> _View:
        if self._context.console.is_terminal and not self._context.as_json:
            self._live = Live(console=self._context.console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave what is shown on the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, found: RollingStatus) -> None:
        """How far it is."""
        if self._context.as_json:
            line = json.dumps(plain(found))
            if line != self._last:
                click.echo(line)
            self._last = line
        elif self._live is not None:
            self._live.update(rolling_view(found), refresh=True)
        else:
            for node in found.nodes:
                line = f"{node.name}: {node.state}" + (f": {node.cause}" if node.cause else "")
                if self._shown.get(node.id) != line:
                    self._context.console.print(Text(line))
                self._shown[node.id] = line


@click.command()
@click.option("--check", is_flag=True, help="Only look; exits with 1 when something stands against it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def finalize(context: Context, check: bool, yes: bool) -> None:
    """
    End the way back of the last rolling upgrade: all nodes run the new code, and it is good.

    What only the code before needed goes away from the tables, and payloads are written in their new versions.
    """
    found = ask(context, lambda: context.client.finalize(check=True))
    if not (check or found.causes or found.nothing):
        if not context.as_json:
            context.console.print(finality_view(found))
        confirm("There is no way back afterwards.  Make it final?", yes=yes)
        found = ask(context, lambda: context.client.finalize(check=False))
    context.show(found, finality_view(found))
    sys.exit(Exit.REFUSED if found.causes else Exit.OK)


def rolling_plan_view(plan: RollingPlan) -> RenderableType:
    """A line for each node, what stands against it, and what to know."""
    table = Table(box=None, pad_edge=False)
    for name in ("", "node", "state", "runs", "way", ""):
        table.add_column(name, overflow="fold")
    for number, node in enumerate(plan.nodes, 1):
        way = _PROMISES.get(node.kind, "is left out" if node.state == "lost" else "not known")
        words = node.trouble or node.cause or node.reason
        own = f"{node.name} (this)" if node.own else node.name
        table.add_row(*map(Text, (str(number), own, node.state, short(node.hash), way, words)))
    at_a_time = "one node" if plan.parallel == 1 else f"{plan.parallel} nodes"
    head = f"to {short(plan.target_hash)}, {at_a_time} at a time" if plan.target_hash else "no common target"
    causes = [Text(f"refused: {cause}", style="red") for cause in plan.causes]
    return Group(Text(head), table, *(Text(f"warning: {text}", style="yellow") for text in plan.warnings), *causes)


def rolling_view(found: RollingStatus) -> RenderableType:
    """Everything that there is to be seen of a change of all nodes."""
    if not found.id:
        return Group(Text("there was no rolling change yet"), *_release_line(found))
    way = "going back after a failure" if found.step == "undo" else found.action
    target = f" to {short(found.target_hash)}" if found.target_hash else ""
    done = f", {found.progress} of {found.total} nodes" if found.total else ""
    head = Text(f"{way}{target}: {found.state}{done}, for {found.who}; task {found.id}")
    table = Table(box=None, pad_edge=False)
    for name in ("node", "state", "had", ""):
        table.add_column(name, overflow="fold")
    for node in found.nodes:
        state = Text(node.state, style=_STYLES.get(node.state, ""))
        table.add_row(Text(node.name), state, Text(short(node.before)), Text(_words(node)))
    cause = [Text(found.cause, style="red")] if found.cause else []
    return Group(head, table, *cause, *_release_line(found))


def rolling_end(found: RollingStatus) -> RenderableType:
    """How it ended, and the next step."""
    if found.state == "failed":
        return Text(f"failed: {found.cause}", style="red")
    away = [node.name for node in found.nodes if node.state == "away"]
    left = f"  {', '.join(away)} was left out: run this again when it is back." if away else ""
    if found.action == "rollback":
        return Text("All nodes that were upgraded run the code that they had.", style="green")
    return Text(
        f"All nodes run {short(found.target_hash)}.{left}  `cloudctl finalize` ends the way back.", style="green"
    )


def finality_view(found: Finality) -> RenderableType:
    """What is final now, or would be, or why not."""
    if found.causes:
        return Group(*(Text(f"refused: {cause}", style="red") for cause in found.causes))
    if found.nothing:
        return Text("nothing is to be made final")
    steps = f"; from the tables go: {', '.join(found.steps)}" if found.steps else ""
    return Text(f"{short(found.hash)} {'is' if found.done else 'would be'} final{steps}")


def _release_line(found: RollingStatus) -> list[RenderableType]:
    release = found.release
    if release is None:
        return []
    states = {
        "open": "there is a way back until `cloudctl finalize`",
        "final": f"is final ({release.state_by})",
        "back": f"was taken back ({release.state_by})",
    }
    return [Text(f"{short(release.new_hash)}: {states.get(release.state, release.state)}")]


def _words(node: RollingNode) -> str:
    if node.cause:
        return node.cause
    if not node.total:
        return node.text
    filled = round(BAR_WIDTH * min(1.0, node.done / node.total))
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}]  {node.text}"
