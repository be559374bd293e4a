# -*- test-case-name: tests.cli.test_commands -*-
"""A change of the running cloud, from the question to the exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

import click

from cloudd.control import Outcome, Progress, plain

from ._client import RefusedByDaemon, Unreachable
from ._context import Context, Exit, fail
from ._steps import Steps
from ._tables import outcome_view


def follow(context: Context, begin: Callable[[], Iterator[Progress | Outcome]]) -> NoReturn:
    """Show a change as it goes, and end with the exit code of its outcome."""
    outcome: Outcome | None = None
    try:
        with Steps(context.console) as steps:
            for event in begin():
                if context.as_json:
                    click.echo(json.dumps(plain(event)))
                elif isinstance(event, Progress):
                    steps.show(event)
                if isinstance(event, Outcome):
                    outcome = event
    except RefusedByDaemon as error:
        fail(context, Exit.REFUSED, str(error))
    except Unreachable as error:
        fail(context, Exit.UNREACHABLE, str(error))
    assert outcome is not None, "the client ends a stream without an outcome by raising"
    if not context.as_json:
        context.console.print(outcome_view(outcome))
    sys.exit(Exit.OK if outcome.result in {"committed", "unchanged"} else Exit.REFUSED)


def confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not is_terminal():
        raise click.UsageError("nobody can be asked here: give --yes")
    if not click.confirm(question):
        click.echo("Nothing was changed.")
        sys.exit(Exit.REFUSED)


def is_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty()
