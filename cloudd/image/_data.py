# -*- test-case-name: tests.image.test_imports -*-
"""
The data of images in the store: one object each, in an account that no project has.

What was found out while it passed by goes with the object, so that staged data need not be read again for its import.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import frozen

from storage import IObjectStore, IUpload, ObjectFacts

from ._errors import UnfitData
from ._facts import HASH_ALGORITHM, Image
from ._inspection import Inspector, read_findings, unfit

ACCOUNT: Final = ".images"
CONTAINER: Final = "data"
DATA_TYPE: Final = "application/octet-stream"

#: What an upload of an image's data computes.
DIGESTS: Mapping[str, Callable[[], Any]] = {
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    HASH_ALGORITHM: hashlib.sha512,
    "findings": Inspector,
}
_HASH, _FINDINGS = "hash", "findings"


@frozen(kw_only=True)
class Looked:
    """
    What is known of data.

    :ivar checksum: MD5 in hex, ``hash_value`` in hex by ``HASH_ALGORITHM``
    :ivar findings: of ``Inspector``, as JSON
    """

    size: int
    checksum: str
    hash_value: str
    findings: str

    @property
    def columns(self) -> dict[str, Any]:
        """Of an image that has the data."""
        return {
            "size": self.size,
            "virtual_size": read_findings(self.findings.encode()).virtual_size,
            "checksum": self.checksum,
            "hash_algorithm": HASH_ALGORITHM,
            "hash_value": self.hash_value,
        }

    def refuse_unfit(self, image: Image) -> None:
        """
        :raises UnfitData: it is not what the image says, or harmful
        """
        if cause := unfit(read_findings(self.findings.encode()), image.disk_format or "raw"):
            raise UnfitData(f"Image {image.id} cannot have this data: {cause}.")


def data_of(image: Image) -> tuple[str, str, str]:
    """Account, container and name of an image's data in the store."""
    return ACCOUNT, CONTAINER, image.data_id or ""


async def looked_at(upload: IUpload) -> Looked:
    """
    Finish an upload with ``DIGESTS``.

    :raises StoreFull: see there
    """
    digests: Mapping[str, bytes] = await upload.finish()
    return Looked(
        size=upload.size,
        checksum=digests["md5"].hex(),
        hash_value=digests[HASH_ALGORITHM].hex(),
        findings=digests["findings"].decode(),
    )


async def put_data(store: IObjectStore, image: Image, upload: IUpload, looked: Looked) -> None:
    """
    Give the upload the image's place; what was there is replaced.

    :raises StoreFull: the upload is discarded
    """
    metadata = {_HASH: looked.hash_value, _FINDINGS: looked.findings}
    await store.put_object(*data_of(image), upload, etag=looked.checksum, content_type=DATA_TYPE, metadata=metadata)


def looked_of(facts: ObjectFacts) -> Looked:
    """What ``put_data`` has written there."""
    return Looked(
        size=facts.size,
        checksum=facts.etag,
        hash_value=facts.metadata[_HASH],
        findings=facts.metadata[_FINDINGS],
    )
