# -*- test-case-name: tests.cli.test_trace -*-
"""``cloudctl trace``: what the host knows about one request."""

from __future__ import annotations

import sys

import click
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from cloudd.control import SearchedFile, Trace, TracedRequest

from ._context import Context, Exit, ask
from ._tables import short


@click.command()
@click.argument("request_id")
@click.pass_obj
def trace(context: Context, request_id: str) -> None:
    """
    Which worker and which code answered REQUEST_ID, and each part of it that moved, as the access logs tell.

    The id is in every answer, as X-OpenStack-Request-ID.  Exits with 1 when nothing is found.
    """
    found = ask(context, lambda: context.client.trace(request_id))
    context.show(found, trace_view(found))
    sys.exit(Exit.OK if found.requests else Exit.REFUSED)


def trace_view(found: Trace) -> RenderableType:
    """Each request with its facts; when there is none, or not all was searched, where it was looked for."""
    lines: list[RenderableType] = []
    for request in found.requests:
        lines += _request_lines(request)
    if found.more:
        lines.append(Text("there are more lines of this id than are shown", style="yellow"))
    if not found.requests:
        lines.append(Text(f"{found.request_id} is not in the access logs; a line is there 0.2 s after a request's end"))
    lines += [_file_line(file) for file in found.files if not found.requests or _is_partly(file)]
    if not found.requests and not found.files:
        lines.append(Text("there is no access log"))
    return Group(*lines)


def _request_lines(request: TracedRequest) -> list[RenderableType]:
    head = Text(f"{request.time}  {request.method or '-'} {request.path or '-'}  ")
    if request.moved:
        answered = f"answering {request.status}" if request.status else "not answered yet"
        head.append(f"moved on, {answered}", style="cyan")
    else:
        head.append(
            str(request.status), style="green" if request.status < 400 else "yellow" if request.status < 500 else "red"
        )
    code = short(request.hash) or "unknown: not in the audit log"
    facts = [
        f"{'after' if request.moved else 'in'} {request.ms:.3f} ms, "
        f"{request.received_bytes} bytes received, {request.sent_bytes} sent",
        f"worker {request.worker or 'unknown'}, generation {request.generation}, code {code}",
        f"face {request.face}, route {request.route}, project {request.project_id or '-'}, from {request.peer or '-'}",
    ]
    return [head, Padding(Text("\n".join(facts)), (0, 0, 0, 4), expand=False)]


def _file_line(file: SearchedFile) -> Text:
    if file.cause:
        return Text(f"not searched: {file.path}: {file.cause}", style="yellow")
    part = f"the last {file.searched_bytes} of {file.size_bytes} bytes" if _is_partly(file) else "all of it"
    return Text(f"searched: {file.path}: {part}")


def _is_partly(file: SearchedFile) -> bool:
    return bool(file.cause) or file.searched_bytes < file.size_bytes
