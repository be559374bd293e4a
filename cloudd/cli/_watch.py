# -*- test-case-name: tests.cli.test_watch -*-
"""
``cloudctl status --watch``: the status again and again, until Ctrl-C.

On a terminal it is redrawn in place; into a pipe one view follows the other, and with ``--json`` each is one line.  A
daemon that is away is waited for: an upgrade's outcome is seen by who watches, and so is a restart.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click
from attrs import define
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from cloudd.control import Status, plain

from ._client import RefusedByDaemon, Unreachable
from ._context import Context, ask
from ._tables import status_view

DEFAULT_S = 2.0
Draw = Callable[[RenderableType], None]


def watch(
    context: Context,
    interval_s: float,
    *,
    modules: bool,
    sleep: Callable[[float], None],
    now: Callable[[], float],
) -> None:
    """
    Show the status every ``interval_s`` seconds; returns on Ctrl-C.

    A daemon that cannot be reached at first ends the command, as without ``--watch``.

    :param now: seconds since the epoch
    """
    try:
        seen = Seen(ask(context, context.client.status), now())
        with _drawing(context) as draw:
            while True:
                if context.as_json:
                    click.echo(json.dumps(_document(seen)))
                else:
                    draw(
                        Group(
                            _head(interval_s, now()), *seen.remarks(), status_view(seen.status, now(), modules=modules)
                        )
                    )
                sleep(interval_s)
                seen.look(context.client.status, now())
    except KeyboardInterrupt:
        return


@define
class Seen:
    """The last status, since when there is none any more, and what happened to the daemon meanwhile."""

    status: Status
    at: float
    away: str = ""
    away_since: float = 0.0
    restarted: str = ""

    def look(self, find: Callable[[], Status], now: float) -> None:
        """Take a new status; one that cannot be had is kept in mind, with its cause."""
        try:
            found = find()
        except (Unreachable, RefusedByDaemon) as error:
            if not self.away:
                self.away_since = now
            self.away = str(error)
            return
        old = self.status
        if (found.pid, found.started_at) != (old.pid, old.started_at):
            self.restarted = f"the daemon was restarted: process {old.pid} until then, {found.pid} since {_clock(now)}"
        self.status, self.at, self.away = found, now, ""

    def remarks(self) -> list[RenderableType]:
        """What is to be said above the table."""
        lines: list[RenderableType] = []
        if self.away:
            away = f"no answer since {_clock(self.away_since)}: {self.away}"
            lines = [Text(away, style="red"), Text(f"below is what was so at {_clock(self.at)}", style="red")]
        elif self.restarted:
            lines = [Text(self.restarted, style="yellow")]
        return lines


def _document(seen: Seen) -> object:
    return {"error": seen.away} if seen.away else plain(seen.status)


def _head(interval_s: float, now: float) -> RenderableType:
    return Text(f"{_clock(now)}, every {interval_s:g} s; Ctrl-C ends", style="dim")


@contextmanager
def _drawing(context: Context) -> Iterator[Draw]:
    """How to show a view: in the place of the one before, or, where no screen is, below it."""
    console = context.console
    if context.as_json or not console.is_terminal:
        yield lambda view: console.print(view, Text(""))
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        yield lambda view: live.update(view, refresh=True)


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S UTC")
