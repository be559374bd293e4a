# -*- test-case-name: tests.cli.test_schedule -*-
"""``cloudctl schedule``: where servers would run, and why not elsewhere."""

from __future__ import annotations

import sys

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cloudd.control import Schedule, ScheduleHost, ScheduleRequest

from ._context import Context, Exit, ask


@click.command()
@click.argument("flavor")
@click.option("--explain", is_flag=True, required=True, help="Tell what would be, and why; nothing else can be asked.")
@click.option("--image", default="", help="Id or name: its properties count, and its size where FLAVOR has no disk.")
@click.option("--zone", default="", help="Availability zone.  Default: any.")
@click.option("--host", default="", help="Name of the one host that will do.")
@click.option(
    "--project", "project_id", default="", metavar="ID", help="Whose servers: hosts may be kept for projects."
)
@click.option("--group", default="", metavar="ID", help="Server group that they would be of.")
@click.option("--same-host", multiple=True, metavar="ID", help="Near to this server; may be given again.")
@click.option("--different-host", multiple=True, metavar="ID", help="Apart from this server; may be given again.")
@click.option("--count", default=1, show_default=True, type=click.IntRange(1, 1_000), help="How many servers.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1_000), help="Show so many hosts.")
@click.pass_obj
def schedule(
    context: Context,
    flavor: str,
    explain: bool,
    image: str,
    zone: str,
    host: str,
    project_id: str,
    group: str,
    same_host: tuple[str, ...],
    different_host: tuple[str, ...],
    count: int,
    limit: int,
) -> None:
    """
    Where servers of FLAVOR (id or name) would run, if they were made now.

    Exits with 1 when some would get no host.
    """
    request = ScheduleRequest(
        flavor=flavor, image=image, zone=zone, host=host, project_id=project_id, group=group, count=count, limit=limit,
        same_host=list(same_host), different_host=list(different_host),
    )  # fmt: skip
    found = ask(context, lambda: context.client.schedule(request))
    context.show(found, schedule_view(found))
    sys.exit(Exit.OK if found.placed == found.servers else Exit.REFUSED)


def schedule_view(found: Schedule) -> RenderableType:
    """What is asked for, a line for each host, and what came of it."""
    need = found.need
    asked = f"{need.vcpus} vCPUs, {need.memory_mib} MiB of memory, {need.disk_gib} GiB of disk each"
    taken = ", ".join(f"{name} {count}" for name, count in found.removed.items()) or "none"
    lines = [
        Text(f"asked for: {found.servers} x {asked}"),
        Text(f"hosts: {found.total}, of which {found.passing} pass all filters; taken out by: {taken}"),
    ]
    outcome = f"{found.placed} of {found.servers} would get a host"
    end = Text(f"{outcome}: {found.cause}" if found.cause else outcome, style="red" if found.cause else "green")
    left = found.total - len(found.hosts)
    more = [Text(f"{left} more hosts: see --limit")] if left > 0 else []
    return Group(*lines, *([_table(found)] if found.hosts else []), *more, end)


def _table(found: Schedule) -> Table:
    table = Table(box=None, pad_edge=False)
    names = list(found.weighers)
    for name in ("host", "zone", "free vcpus", "memory", "disk", "servers", "weight"):
        table.add_column(name, justify="left" if name in {"host", "zone"} else "right")
    for name in names:
        table.add_column(f"{name} x {found.weighers[name]:g}", justify="right")
    table.add_column("taken out by", overflow="fold")
    for host in found.hosts:
        free = (str(host.free_vcpus), f"{host.free_memory_mib} MiB", f"{host.free_disk_gib} GiB")
        table.add_row(Text(host.name), Text(host.zone), *free, *_judged(host, names), Text(_why(host), style="yellow"))
    return table


def _judged(host: ScheduleHost, names: list[str]) -> list[str]:
    if host.filter:
        return ["", ""] + [""] * len(names)
    each = [f"{host.weights[name]:.2f}" if name in host.weights else "" for name in names]
    return [str(host.servers or ""), f"{host.weight:.2f}", *each]


def _why(host: ScheduleHost) -> str:
    return f"{host.filter}: {host.cause}" if host.filter else ""
