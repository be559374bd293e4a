"""
Objects on disks, behind one interface.

Readers meet ``IObjectStore`` first: accounts hold containers, containers hold objects, all by name, with metadata
that the store keeps but does not understand.  ``FileStore`` keeps one file per object on one node;
``MemoryStore`` is the verified fake that passes the same contract (``tests/contracts/object_store.py``)::

    store = MemoryStore()
    await store.recover()
    await store.create_container("AUTH_demo", "photos", {})

    upload = await store.receive({"md5": md5})
    waiting = upload.write(b"...")  # a Deferred when the client should pause
    digests = await upload.finish()
    facts = await store.put_object(
        "AUTH_demo", "photos", "cat.jpg", upload,
        etag=digests["md5"].hex(), content_type="image/jpeg", metadata={},
    )

    reading = await store.open("AUTH_demo", "photos", "cat.jpg")
    for descriptor, offset, length in reading.regions(0, facts.size):
        ...
    reading.close()

This package knows nothing of HTTP, tenants or clouds and imports neither ``cloudd`` nor ``net`` nor ``reload``.
"""

from ._files import FileStore
from ._interfaces import (
    AccountFacts,
    Change,
    ChangeKind,
    ChangeSpan,
    CommonPrefix,
    ContainerExists,
    ContainerFacts,
    ContainerNotEmpty,
    DataDamaged,
    Extent,
    Hasher,
    InvalidPart,
    IObjectStore,
    IReading,
    IUpload,
    Listing,
    MultipartFacts,
    NoSuchAccount,
    NoSuchContainer,
    NoSuchObject,
    NoSuchUpload,
    NotTellable,
    ObjectFacts,
    PartFacts,
    Precondition,
    PreconditionFailed,
    SpaceFacts,
    StoreError,
    StoreFull,
    UnknownFormat,
    UnknownState,
)
from ._memory import MemoryStore

__all__ = [
    "AccountFacts",
    "Change",
    "ChangeKind",
    "ChangeSpan",
    "CommonPrefix",
    "ContainerExists",
    "ContainerFacts",
    "ContainerNotEmpty",
    "DataDamaged",
    "Extent",
    "FileStore",
    "Hasher",
    "IObjectStore",
    "IReading",
    "IUpload",
    "InvalidPart",
    "Listing",
    "MemoryStore",
    "MultipartFacts",
    "NoSuchAccount",
    "NoSuchContainer",
    "NoSuchObject",
    "NoSuchUpload",
    "NotTellable",
    "ObjectFacts",
    "PartFacts",
    "Precondition",
    "PreconditionFailed",
    "SpaceFacts",
    "StoreError",
    "StoreFull",
    "UnknownFormat",
    "UnknownState",
]
