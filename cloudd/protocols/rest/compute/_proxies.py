# -*- test-case-name: tests.protocols.rest.compute.test_images -*-
"""
What other services refuse, when they are asked by the Compute API's old ways to them.

Nova once had images, networks, security groups and floating IPs of its own, and kept their paths as proxies: up to
2.35, and metadata of images up to 2.38.  Rights are those of the services themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cloudd.image import ImageConflict, ImageError, ImageForbidden, NoSuchImage
from cloudd.network import NetworkConflict, NetworkError

from .._faults import Fault, bad_request
from ._versions import OLDEST, Version, during

#: A route that is there as long as Nova has proxies.
LAST: Final[Version] = (2, 35)
as_proxy = during(OLDEST, LAST)
as_image_metadata = during(OLDEST, (2, 38))


@contextmanager
def image_words() -> Iterator[None]:
    """
    :raises Fault: for what the image service refuses
    """
    try:
        yield
    except NoSuchImage:
        raise Fault(404, "Image not found.") from None
    except ImageForbidden as error:
        raise Fault(403, error.cause) from None
    except ImageConflict as error:
        raise Fault(409, error.cause) from None
    except ImageError as error:
        raise bad_request(error.cause) from None


@contextmanager
def network_words() -> Iterator[None]:
    """
    :raises Fault: for what the network service refuses; what is in the way is 400 here, and a quota 403
    """
    try:
        yield
    except NetworkConflict as error:
        raise Fault(403 if error.type == "OverQuota" else 400, error.cause) from None
    except NetworkError as error:
        raise Fault(error.status, error.cause) from None
