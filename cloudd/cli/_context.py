# -*- test-case-name: tests.cli.test_commands -*-
"""What all commands of ``cloudctl`` share: the daemon they speak to, the form of their output, the exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import NoReturn, TypeVar

import click
from attrs import frozen
from rich.console import Console, RenderableType

from cloudd.control import Message, plain

from ._client import ControlClient, RefusedByDaemon, Unreachable

Answer = TypeVar("Answer", bound=Message)


class Exit(IntEnum):
    """The exit codes of ``cloudctl``; ``docs/operators.md`` lists them."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3


@frozen
class Context:
    """What all commands share."""

    client: ControlClient
    as_json: bool
    console: Console

    def show(self, message: Message, view: RenderableType) -> None:
        """One message, as JSON for programs or in ``view``'s form for people."""
        if self.as_json:
            click.echo(json.dumps(plain(message), indent=2))
        else:
            self.console.print(view)


def ask(context: Context, call: Callable[[], Answer]) -> Answer:
    """What the daemon answers; without an answer the command ends here."""
    try:
        return call()
    except RefusedByDaemon as error:
        fail(context, Exit.REFUSED, str(error))
    except Unreachable as error:
        fail(context, Exit.UNREACHABLE, str(error))


def fail(context: Context, code: Exit, cause: str) -> NoReturn:
    """End the command with its cause in words."""
    if context.as_json:
        click.echo(json.dumps({"error": cause, "exit": int(code)}))
    click.echo(f"cloudctl: {cause}", err=True)
    sys.exit(code)
