# -*- test-case-name: tests.protocols.rest.compute.test_server_create -*-
"""What other services refuse while a server is made or changed, as the compute service says it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cloudd.image import ImageError, NoSuchImage
from cloudd.network import NetworkError

from ._errors import BadComputeValue, ComputeConflict, ComputeError, ComputeForbidden, NoSuchRecord

_KINDS: dict[int, type[ComputeError]] = {403: ComputeForbidden, 404: BadComputeValue, 409: ComputeConflict}


@contextmanager
def compute_words() -> Iterator[None]:
    """
    :raises ComputeError: for what networks and images refuse; what is not there is a bad value (400)
    """
    try:
        yield
    except NetworkError as error:
        raise _KINDS.get(error.status, BadComputeValue)(error.cause) from error
    except NoSuchImage:
        raise BadComputeValue("Can not find requested image") from None
    except ImageError as error:
        raise BadComputeValue(error.cause) from error


@contextmanager
def as_bad_value() -> Iterator[None]:
    """
    :raises BadComputeValue: for a record that a body names and that is not there: the path is not what is missing
    """
    try:
        yield
    except NoSuchRecord as error:
        raise BadComputeValue(error.cause) from error
