# -*- test-case-name: tests.protocols.rest.compute.test_server_create -*-
"""What is refused while a server is made, as the compute service says it in answer to a body."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cloudd.network import NetworkError

from .._errors import BadComputeValue, ComputeConflict, ComputeError, ComputeForbidden, NoSuchRecord

_KINDS: dict[int, type[ComputeError]] = {403: ComputeForbidden, 404: BadComputeValue, 409: ComputeConflict}


@contextmanager
def compute_words() -> Iterator[None]:
    """
    :raises ComputeError: for what the network service refuses; what is not there is a bad value (400)
    """
    try:
        yield
    except NetworkError as error:
        raise _KINDS.get(error.status, BadComputeValue)(error.cause) from error


@contextmanager
def as_bad_value() -> Iterator[None]:
    """
    :raises BadComputeValue: for a record that a body names and that is not there: the path is not what is missing
    """
    try:
        yield
    except NoSuchRecord as error:
        raise BadComputeValue(error.cause) from error
