# -*- test-case-name: tests.protocols.swift.test_bulk -*-
"""
Bulk delete: a list of percent-encoded paths, one a line, deleted together.

The answer is always 200; its body says what happened.  Objects go before containers, as in Swift, and all objects of
one container in one transaction.
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
from storage import ContainerNotEmpty, NoSuchContainer

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
    for container, names in objects.items():
        await _delete_objects(call, container, names, outcome)
    for container in containers:
        await _delete_container(call, container, outcome)
    return outcome


async def _delete_objects(call: Call, container: str, names: list[str], outcome: Outcome) -> None:
    if outcome.full:
        return
    try:
        await call.authorize(Action.WRITE_OBJECT, container=container)
        found = await call.store.delete_objects(call.place.account, container, names)
    except (Unauthorized, Forbidden) as error:
        status = 401 if isinstance(error, Unauthorized) else 403
        for name in names[: BULK_DELETE_FAILURES - len(outcome.errors)]:
            outcome.refuse(f"{container}/{name}", status)
    except NoSuchContainer:
        outcome.not_found += len(names)
    else:
        outcome.deleted += len(found)
        outcome.not_found += len(names) - len(found)


async def _delete_container(call: Call, container: str, outcome: Outcome) -> None:
    if outcome.full:
        return
    try:
        await call.authorize(Action.CHANGE_CONTAINER, container=container)
        await call.store.delete_container(call.place.account, container)
    except Unauthorized:
        outcome.refuse(container, 401)
    except Forbidden:
        outcome.refuse(container, 403)
    except NoSuchContainer:
        outcome.not_found += 1
    except ContainerNotEmpty:
        outcome.refuse(container, 409)
    else:
        outcome.deleted += 1


def _too_many() -> Refusal:
    return Refusal(413, f"Maximum Bulk Deletes: {BULK_DELETES} per request", plain=True)
