# -*- test-case-name: tests.daemon.test_backup -*-
"""``cloudctl backup`` and ``restore``: a program of the daemon's does it, which knows settings and databases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import click

from ._context import Context, ask
from ._tasks import follow

PROGRAM = "cloudd.daemon._backup"

_file = click.argument("file", type=click.Path(path_type=Path))
_config = click.option(
    "--config", type=click.Path(path_type=Path), help="The daemon's settings file, where [database] url may stand."
)


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@_config
@click.option("--wait", is_flag=True, help="Without FILE: wait until it is done; exits with 1 when it fails.")
@click.pass_obj
def backup(context: Context, file: Path | None, config: Path | None, wait: bool) -> None:
    """
    Write all records and the keys into a new FILE; the daemon may run.

    Without FILE the daemon does it, as a task, into its folder of backups ([backup] folder), and deletes the oldest
    there.  The file is as secret as the state folder.  Objects are not in it.
    """
    if file is None:
        if config is not None:
            raise click.UsageError("--config is for a backup into FILE: the daemon knows its settings")
        follow(context, ask(context, context.client.back_up), wait=wait)
    _run(context, "backup", file, config)


@click.command()
@_file
@_config
@click.option("--yes", is_flag=True, help="Records and keys that are there may go.")
@click.pass_obj
def restore(context: Context, file: Path, config: Path | None, yes: bool) -> None:
    """
    Put records and keys of FILE back, into SQLite or the server of the settings; the daemon is stopped.

    That is also how a cloud moves from one database to the other.
    """
    _run(context, "restore", file, config, *(["--yes"] if yes else []))


def _run(context: Context, what: str, file: Path, config: Path | None, *more: str) -> NoReturn:
    command = [
        sys.executable,
        "-m",
        PROGRAM,
        what,
        str(file.absolute()),
        "--state",
        str(context.client.state.absolute()),
    ]
    if config is not None:
        command += ["--config", str(config.absolute())]
    sys.exit(subprocess.run([*command, *more], check=False).returncode)  # noqa: S603 - our own program
