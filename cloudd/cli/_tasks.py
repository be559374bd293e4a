# -*- test-case-name: tests.cli.test_tasks -*-
"""``cloudctl task`` and ``cloudctl objects``: work that outlives its process, and orders for it."""

from __future__ import annotations

import sys
import time
from typing import NoReturn

import click
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cloudd.control import TaskFacts, TaskList

from ._context import Context, Exit, ask

_STYLES = {"done": "green", "failed": "red", "running": "cyan"}
LOOK_S = 0.5


@click.group()
def task() -> None:
    """Work that outlives the process that does it: see docs/tasks.md."""


@task.command("list")
@click.option("--state", type=click.Choice(["queued", "running", "done", "failed"]), help="In this state only.")
@click.option("--kind", default="", help="Of this kind only.")
@click.option("--project", default="", help="Of the project with this id only.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1_000), help="How many at most.")
@click.pass_obj
def list_tasks(context: Context, state: str | None, kind: str, project: str, limit: int) -> None:
    """The newest tasks first."""
    found = ask(context, lambda: context.client.tasks(state or "", kind, project, limit))
    context.show(found, tasks_view(found, time.time()))


@task.command()
@click.argument("task_id")
@click.pass_obj
def show(context: Context, task_id: str) -> None:
    """All that is known of TASK_ID.  Exits with 1 when it has failed."""
    found = ask(context, lambda: context.client.task(task_id))
    _end(context, found)


@task.command()
@click.argument("task_id")
@click.pass_obj
def cancel(context: Context, task_id: str) -> None:
    """Have TASK_ID end as failed, soon; what it has done so far stays, unless its kind can undo it."""
    found = ask(context, lambda: context.client.cancel_task(task_id))
    context.show(found, task_view(found, time.time()))


@task.command()
@click.argument("task_id")
@click.pass_obj
def retry(context: Context, task_id: str) -> None:
    """Have TASK_ID, which has failed or waits, go on now."""
    found = ask(context, lambda: context.client.retry_task(task_id))
    context.show(found, task_view(found, time.time()))


@click.group()
def objects() -> None:
    """Objects of all projects."""


@objects.command()
@click.argument("project_id")
@click.argument("container")
@click.option("--wait", is_flag=True, help="Wait until it is done; exits with 1 when it fails.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def purge(context: Context, project_id: str, container: str, wait: bool, yes: bool) -> None:
    """
    Delete CONTAINER of the project PROJECT_ID with all its objects.

    A task does it; this prints its id.
    """
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody can be asked here: give --yes")
        click.confirm(f"Delete {container} of project {project_id} with all its objects, for good?", abort=True)
    follow(context, ask(context, lambda: context.client.purge(project_id, container)), wait=wait)


def follow(context: Context, found: TaskFacts, *, wait: bool) -> NoReturn:
    """
    Show a task that was ordered just now, and exit.

    :param wait: first wait until it has ended
    """
    task_id = found.id
    while wait and found.state in {"queued", "running"}:
        time.sleep(LOOK_S)
        found = ask(context, lambda: context.client.task(task_id))
    _end(context, found)


def _end(context: Context, found: TaskFacts) -> NoReturn:
    context.show(found, task_view(found, time.time()))
    sys.exit(Exit.REFUSED if found.state == "failed" else Exit.OK)


def tasks_view(found: TaskList, now: float) -> RenderableType:
    """A line each, and below it the cause."""
    lines: list[RenderableType] = []
    for each in found.tasks:
        head = Text(f"{each.id}  ")
        head.append(f"{each.state:<8}", style=_STYLES.get(each.state, ""))
        lines.append(head.append(f"{each.kind}  {each.resource}  {_age(now - each.created)} old{_progress(each)}"))
        remark = each.cause or (f"will end: {each.cancelled}" if each.cancelled and each.state != "done" else "")
        if remark:
            lines.append(Padding(Text(remark), (0, 0, 0, 4), expand=False))
    if found.more:
        lines.append(Text("older ones were left out: see --limit"))
    return Group(*lines) if lines else Text("there are none")


def task_view(found: TaskFacts, now: float) -> RenderableType:
    """Every fact that there is, one a line."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    grid.add_row("task", Text(found.id))
    grid.add_row("kind", Text(found.kind))
    grid.add_row("state", Text(found.state + _progress(found), style=_STYLES.get(found.state, "")))
    waits = f"{found.waits_s:.1f} s" if found.waits_s else ""
    facts = {
        "step": found.step,
        "project": found.project_id,
        "resource": found.resource,
        "request": found.request_id,
        "ordered": f"{_age(now - found.created)} ago",
        "changed": f"{_age(now - found.updated)} ago",
        "attempts": str(found.attempts or ""),
        "only on node": found.node,
        "run by": found.owner,
        "lease ends in" if found.state == "running" else "begins in": waits,
        "cause": found.cause,
        "will end" if found.state in {"queued", "running"} else "ended by": found.cancelled,
        "payload": _fields(found.payload),
        "saved": _fields(found.step_state),
        "result": _fields(found.result),
    }
    for name, value in facts.items():
        if value:
            grid.add_row(name, Text(value))
    return grid


def _progress(found: TaskFacts) -> str:
    if not found.progress:
        return ""
    return f", {found.progress} of {found.total}" if found.total else f", {found.progress} so far"


def _fields(fields: dict[str, object]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in fields.items())


def _age(seconds: float) -> str:
    whole = max(0, int(seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
