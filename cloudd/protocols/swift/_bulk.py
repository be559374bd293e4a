# -*- test-case-name: tests.protocols.swift.test_bulk -*-
"""
Bulk delete: a list of percent-encoded paths, one a line, deleted together.

The answer is always 200; its body says what happened.  Objects go before containers, as in Swift.  A long list is
deleted by a task: it goes on when the client leaves or the process is killed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

import msgspec
from attrs import Factory, define

from cloudd.objects import Action, Forbidden, Unauthorized
from cloudd.protocols.http import BodyTooLarge
from cloudd.tasks import TaskFailed

from ._answers import Refusal
from ._call import Call
from ._formats import choose_type
from ._limits import BULK_DELETE_FAILURES, BULK_DELETES
from ._paths import decode

TYPES = ("text/plain", "application/json", "application/xml", "text/xml")
MAX_BODY_BYTES = 8 * 1024 * 1024
REASONS = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 409: "Conflict", 412: "Precondition Failed"}


@define
class Outcome:
    """What a bulk delete did; ``errors`` holds the quoted name and the status of what was refused."""

    deleted: int = 0
    not_found: int = 0
    errors: list[tuple[str, str]] = Factory(list)

    def refuse(self, path: str, status: int) -> None:
        self.errors.append((quote(path), f"{status} {REASONS[status]}"))

    @property
    def full(self) -> bool:
        """Whether Swift would stop here."""
        return len(self.errors) >= BULK_DELETE_FAILURES


async def bulk_delete(call: Call) -> None:
    """POST or DELETE with ``?bulk-delete``."""
    request = call.request
    content_type = choose_type(request.header(b"accept"), TYPES)
    sent = request.header(b"content-type")
    if sent and not sent.startswith(b"text/plain"):
        raise Refusal(406, "The list has to be text/plain.")
    if request.header(b"content-length") is None and request.header(b"transfer-encoding") is None:
        raise Refusal(411, "Missing Content-Length header.", plain=True)
    try:
        body = await request.body.read(MAX_BODY_BYTES)
    except BodyTooLarge:
        raise _too_many() from None
    outcome = await _delete_all(call, [line.strip() for line in body.split(b"\n") if line.strip()])
    request.respond(200, [(b"Content-Type", f"{content_type}; charset=UTF-8".encode())], render(content_type, outcome))


def render(content_type: str, outcome: Outcome) -> bytes:
    """The outcome in Swift's form of that type."""
    facts: dict[str, Any] = {
        "Number Deleted": outcome.deleted,
        "Number Not Found": outcome.not_found,
        "Response Body": "",
        "Response Status": "400 Bad Request" if outcome.errors else "200 OK",
    }
    if outcome.full:
        facts["Response Body"] = "Max delete failures exceeded"
    elif not (outcome.deleted or outcome.not_found or outcome.errors):
        facts.update({"Response Status": "400 Bad Request", "Response Body": "Invalid bulk delete."})
    if content_type == "application/json":
        return msgspec.json.encode({**facts, "Errors": outcome.errors})
    if content_type.endswith("/xml"):
        return _render_xml(facts, outcome.errors).encode()
    lines = [f"{name}: {value}" for name, value in facts.items()]
    return "\n".join([*lines, "Errors:", *(f"{name}, {status}" for name, status in outcome.errors), ""]).encode()


def _render_xml(facts: dict[str, Any], errors: Iterable[tuple[str, str]]) -> str:
    tags = [(name.replace(" ", "_").lower(), escape(str(value))) for name, value in facts.items()]
    rows = [
        f"<object><name>{escape(name)}</name><status>{escape(status)}</status></object>\n" for name, status in errors
    ]
    return "".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>\n<delete>\n',
            *(f"<{tag}>{value}</{tag}>\n" for tag, value in tags),
            "<errors>\n",
            *rows,
            "</errors>\n</delete>\n",
        ]
    )


async def _delete_all(call: Call, lines: list[bytes]) -> Outcome:
    if len(lines) > BULK_DELETES:
        raise _too_many()
    outcome = Outcome()
    objects, containers = _read(lines, outcome)
    await _delete(call, *await _allowed(call, objects, containers, outcome), outcome)
    return outcome


def _read(lines: list[bytes], outcome: Outcome) -> tuple[dict[str, list[str]], list[str]]:
    """Container -> names of objects; containers."""
    objects: dict[str, list[str]] = {}
    containers: list[str] = []
    for line in lines:
        try:
            path = decode(line).lstrip("/")
        except Refusal:
            outcome.refuse(line.decode("latin-1"), 412)
            continue
        container, _, name = path.partition("/")
        if name:
            objects.setdefault(container, []).append(name)
        elif container:
            containers.append(container)
    return objects, containers


async def _allowed(
    call: Call, objects: dict[str, list[str]], containers: list[str], outcome: Outcome
) -> tuple[dict[str, list[str]], list[str]]:
    """What the client may delete of these."""
    allowed = {}
    for container, names in objects.items():
        if status := await _refused(call, Action.WRITE_OBJECT, container):
            for name in names[: BULK_DELETE_FAILURES - len(outcome.errors)]:
                outcome.refuse(f"{container}/{name}", status)
        else:
            allowed[container] = names
    emptied = []
    for container in containers:
        if status := await _refused(call, Action.CHANGE_CONTAINER, container):
            if not outcome.full:
                outcome.refuse(container, status)
        else:
            emptied.append(container)
    return allowed, emptied


async def _refused(call: Call, action: Action, container: str) -> int:
    """The status with which the client may not do this; 0: it may."""
    try:
        await call.authorize(action, container=container)
    except Unauthorized:
        return 401
    except Forbidden:
        return 403
    return 0


async def _delete(call: Call, objects: dict[str, list[str]], containers: list[str], outcome: Outcome) -> None:
    """What is allowed."""
    if outcome.full:
        return
    most = BULK_DELETE_FAILURES - len(outcome.errors)
    try:
        done = await call.objects.delete_listed(call.place.account, objects, containers, most, call.request.id)
    except TaskFailed as error:
        raise Refusal(503, f"The deletion did not come to its end: {error.cause}.", plain=True) from error
    outcome.deleted += done.deleted
    outcome.not_found += done.not_found
    for path in done.conflicts[:most]:
        outcome.refuse(path, 409)


def _too_many() -> Refusal:
    return Refusal(413, f"Maximum Bulk Deletes: {BULK_DELETES} per request", plain=True)
