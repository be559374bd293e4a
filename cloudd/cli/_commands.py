# -*- test-case-name: tests.cli.test_commands -*-
"""The commands of ``cloudctl``: read options, ask the daemon, show the answer, choose the exit code."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from typing import cast

import click
from rich.console import Console

from cloudd.control import MAX_CANARY_PERCENT, How, RollingRequest, default_state

from ._backup import backup, restore
from ._change import confirm, follow
from ._client import ControlClient
from ._context import Context, Exit, ask
from ._database import database
from ._manifest import manifest
from ._nodes import Span, node
from ._rolling import finalize, follow_all, roll_back_all, rolling_view, upgrade_all
from ._schedule import schedule
from ._tables import audit_view, health_view, plan_view, short, status_view
from ._tasks import objects, task
from ._trace import trace
from ._watch import DEFAULT_S, watch

PIPED_WIDTH = 10_000  # columns where no terminal says how many there are: nothing is wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="The daemon's state folder.  Default: $CLOUDD_STATE, /var/lib/cloudd for root, else ~/.local/share/cloudd.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON for programs instead of tables; streams are JSON lines.")
@click.version_option(package_name="cloudd", prog_name="cloudctl")
@click.pass_context
def main(context: click.Context, state: Path | None, as_json: bool) -> None:
    """
    Look after a running cloudd.

    Exit codes: 0 done (or nothing to do), 1 refused or failed, 2 wrong usage, 3 the daemon cannot be reached.
    """
    folder = state if state is not None else default_state(os.environ, os.geteuid())
    context.obj = Context(
        ControlClient(folder),
        as_json,
        Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False, markup=False, emoji=False),
    )


@main.command()
@click.option("--modules", is_flag=True, help="Show each module's hash too.")
@click.option(
    "--watch",
    "interval_s",
    is_flag=False,
    flag_value=DEFAULT_S,
    type=click.FloatRange(0.1, 3600),
    metavar="[SECONDS]",
    help=f"Show it again every so many seconds ({DEFAULT_S:g}), until Ctrl-C; with --json one document a line.",
)
@click.option("--rolling", is_flag=True, help="The latest change of all nodes; with --watch until it has ended.")
@click.pass_obj
def status(context: Context, modules: bool, interval_s: float | None, rolling: bool) -> None:
    """Processes, generations of code, connections and requests."""
    if rolling:
        change = ask(context, context.client.rolling)
        if interval_s is not None and change.id:
            follow_all(context, change)
        context.show(change, rolling_view(change))
        return
    if interval_s is not None:
        if math.isnan(interval_s):  # which no range refuses
            raise click.BadParameter("it is no number", param_hint="--watch")
        watch(context, interval_s, modules=modules, sleep=time.sleep, now=time.time)
        return
    found = ask(context, context.client.status)
    context.show(found, status_view(found, time.time(), modules=modules))


@main.command()
@click.pass_obj
def health(context: Context) -> None:
    """How is production doing right now?  Exits with 1 when a part fails."""
    found = ask(context, context.client.health)
    context.show(found, health_view(found))
    sys.exit(Exit.OK if found.status == "ok" else Exit.REFUSED)


@main.command()
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many entries at most."
)
@click.pass_obj
def audit(context: Context, limit: int) -> None:
    """Who loaded which code when, with which result."""
    found = ask(context, lambda: context.client.audit(limit))
    context.show(found, audit_view(found))


@main.command()
@click.option(
    "--to",
    "tree",
    type=click.Path(path_type=Path),
    help="Folder, wheel or virtual environment with the new code.  Default: what the daemon was started from.",
)
@click.option("--how", type=click.Choice(["swap", "hand-over"]), help="The way it must go.  Default: what is enough.")
@click.option("--check", is_flag=True, help="Show the plan and stop; exits with 1 when it cannot be done.")
@click.option(
    "--canary",
    "percent",
    type=click.FloatRange(0, MAX_CANARY_PERCENT),
    metavar="PERCENT",
    help="Share of the connections that try the new code first; 0: all at once.  Default: as the settings say.",
)
@click.option("--rolling", is_flag=True, help="All nodes of the cloud, one after the other: see docs/upgrades.md.")
@click.option("--parallel", type=click.IntRange(1, 100), default=1, help="With --rolling: so many nodes at a time.")
@click.option("--settle", "settle_s", type=Span(), default="15s", help="With --rolling: each must be well so long.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def upgrade(
    context: Context,
    tree: Path | None,
    how: str | None,
    check: bool,
    percent: float | None,
    rolling: bool,
    parallel: int,
    settle_s: float,
    yes: bool,
) -> None:
    """
    Load new code into all running workers; connections stay.

    A share of the connections tries it first; where it does worse than the old code, all is put back.
    """
    if percent is not None and math.isnan(percent):  # which no range refuses
        raise click.BadParameter("it is no number", param_hint="--canary")
    named, way = str(tree.absolute()) if tree is not None else "", cast(How, how or "")
    if rolling:
        request = RollingRequest(tree=named, how=way, canary=percent, parallel=parallel, settle_s=settle_s)
        upgrade_all(context, request, check=check, yes=yes)
    plan = ask(context, lambda: context.client.plan(named, way, percent))
    if check:
        context.show(plan, plan_view(plan))
        sys.exit(Exit.OK if plan.kind != "refused" else Exit.REFUSED)
    if plan.kind in {"swap", "hand-over"}:
        if not context.as_json:
            context.console.print(plan_view(plan))
        confirm("Load it?", yes=yes)
    # What cannot be done is asked for too: the refusal belongs in the audit log.
    follow(context, lambda: context.client.upgrade(named, plan.target_hash, way, percent))


@main.command()
@click.option("--rolling", is_flag=True, help="All nodes that run the code of the last rolling upgrade.")
@click.option("--parallel", type=click.IntRange(1, 100), default=1, help="With --rolling: so many nodes at a time.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def rollback(context: Context, rolling: bool, parallel: int, yes: bool) -> None:
    """
    Load the code that ran before the last change; data and connections stay.

    After a rollback that is the code which was rolled back: a warning says so.
    """
    if rolling:
        roll_back_all(context, parallel, yes=yes)
    if not yes:
        code = ask(context, context.client.status).code
        if code.previous_warning:
            click.echo(f"warning: {code.previous_warning}", err=True)
        confirm(f"Go back from {short(code.hash)} to {short(code.previous_hash) or 'nothing'}?", yes=yes)
    follow(context, context.client.rollback)


main.add_command(backup)
main.add_command(database)
main.add_command(finalize)
main.add_command(manifest)
main.add_command(node)
main.add_command(restore)
main.add_command(schedule)
main.add_command(trace)
main.add_command(task)
main.add_command(objects)
