"""What tempest, with which OpenStack tests itself, expects of answers: its schemas of each microversion."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

from tempest.lib.api_schema.response import compute  # type: ignore[import-untyped]
from tempest.lib.common.jsonschema_validator import (  # type: ignore[import-untyped]
    FORMAT_CHECKER,
    JSONSCHEMA_VALIDATOR,
)

from tests.http_client import Answer


def minor_of(version: str) -> int:
    """``2.61`` -> 61."""
    return int(version.partition(".")[2])


@cache
def minors_of(kind: str) -> list[int]:
    """Minor versions in which the schemas of a kind change, in order."""
    found = []
    for module in pkgutil.iter_modules(compute.__path__):
        path = f"{compute.__name__}.{module.name}"
        if any(each.name == kind for each in pkgutil.iter_modules(importlib.import_module(path).__path__)):
            found.append(minor_of(module.name.replace("v", "").replace("_", ".")))
    return sorted(found)


def schema_of(kind: str, name: str, version: str) -> dict[str, Any]:
    """The one that holds in a version: a module has only what changes, and what its author copied."""
    for minor in reversed(minors_of(kind)):
        module = importlib.import_module(f"{compute.__name__}.v2_{minor}.{kind}")
        if minor <= minor_of(version) and hasattr(module, name):
            found: dict[str, Any] = getattr(module, name)
            return found
    raise LookupError(f"tempest has no schema {name} of {kind}")


def faults_of(answer: Answer, kind: str, name: str, version: str) -> list[str]:
    """
    What of the answer does not fit.

    :param kind: ``keypairs``; ``name``: ``get_keypair``
    """
    schema = schema_of(kind, name, version)
    faults = [] if answer.status in schema["status_code"] else [f"status {answer.status}, not {schema['status_code']}"]
    if "response_body" not in schema:
        return faults + ([f"a body: {answer.text[:200]}"] if answer.body else [])
    validator = JSONSCHEMA_VALIDATOR(schema["response_body"], format_checker=FORMAT_CHECKER)
    return faults + [str(each) for each in validator.iter_errors(answer.json())]
