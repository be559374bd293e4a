# -*- test-case-name: tests.protocols.rest.compute.test_flavors -*-
"""Extra specs of flavors.  Source: Compute API, "Flavors extra-specs"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cloudd import compute as service
from cloudd.interfaces.application import Transactions

from .._routes import Answer, route
from ._call import ComputeCall, invalid

_PATH = "/v2.1/flavors/{flavor_id}/os-extra_specs"
_NAME = re.compile(r"[a-zA-Z0-9\-_:. ]{1,255}")
_MAX_VALUE = 255


def checked_specs(given: Any, path: str) -> dict[str, str]:
    """
    Names and values; a number becomes its text.

    :raises Fault: 400 with the name and what is wrong
    """
    if not isinstance(given, dict):
        raise invalid("expected an object", path)
    return {name: _value(name, value, path) for name, value in given.items()}


def _value(name: str, value: Any, path: str) -> str:
    if not _NAME.fullmatch(name):
        raise invalid(f"'{name[:60]}': 1 to 255 letters, digits, '-', '_', ':', '.' and blanks are meant.", path)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise invalid("expected a string or a number", f"{path}.{name[:60]}")
    text = str(value)
    if len(text) > _MAX_VALUE:
        raise invalid(f"longer than {_MAX_VALUE} characters", f"{path}.{name[:60]}")
    return text


class SpecRoutes:
    """``/v2.1/flavors/{id}/os-extra_specs``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", _PATH)
    async def list_specs(self, call: ComputeCall, flavor_id: str) -> Answer:
        """All of them."""
        return Answer(200, {"extra_specs": dict(await self._of(call, flavor_id))})

    @route("POST", _PATH)
    async def create(self, call: ComputeCall, flavor_id: str) -> Answer:
        """200: these too, or with new values; for administrators."""
        service.enforce_admin(call.access, "os-flavor-extra-specs:create")
        body = await call.read_object()
        if set(body) != {"extra_specs"}:
            raise invalid("'extra_specs' is the one member that is meant")
        specs = checked_specs(body["extra_specs"], "extra_specs")
        await self._database.write(service.add_specs, call.access, flavor_id, specs)
        return Answer(200, {"extra_specs": specs})

    @route("GET", _PATH + "/{name}")
    async def show(self, call: ComputeCall, flavor_id: str, name: str) -> Answer:
        """One of them."""
        found = await self._of(call, flavor_id)
        if name not in found:
            raise service.no_spec(flavor_id, name)
        return Answer(200, {name: found[name]})

    @route("PUT", _PATH + "/{name}")
    async def update(self, call: ComputeCall, flavor_id: str, name: str) -> Answer:
        """200: this one with a new value; for administrators."""
        service.enforce_admin(call.access, "os-flavor-extra-specs:update")
        specs = checked_specs(await call.read_object(), "")
        if set(specs) != {name}:
            raise invalid("Request body and URI mismatch")
        await self._database.write(service.add_specs, call.access, flavor_id, specs)
        return Answer(200, specs)

    @route("DELETE", _PATH + "/{name}")
    async def delete(self, call: ComputeCall, flavor_id: str, name: str) -> Answer:
        """200: it is gone; for administrators."""
        await self._database.write(service.drop_spec, call.access, flavor_id, name)
        return Answer(200)

    async def _of(self, call: ComputeCall, flavor_id: str) -> Mapping[str, str]:
        found = await self._database.read(service.one_flavor, call.access, flavor_id)
        return found.extra_specs
