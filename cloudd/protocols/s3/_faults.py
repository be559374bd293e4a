"""What the parts below raise, in S3's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cloudd.identity import IdentityUnavailable
from cloudd.objects import Forbidden, InvalidMetadata, InvalidName, ObjectsError, Unauthorized
from cloudd.protocols.http import BodyMalformed, BodyTimedOut, BodyTooLarge, BodyTruncated
from storage import (
    ContainerExists,
    ContainerNotEmpty,
    DataDamaged,
    InvalidPart,
    NoSuchAccount,
    NoSuchContainer,
    NoSuchObject,
    NoSuchUpload,
    PreconditionFailed,
    StoreError,
    StoreFull,
)

from ._errors import S3Error

_CODES: Mapping[type[Exception], str] = {
    NoSuchAccount: "NoSuchBucket",
    NoSuchContainer: "NoSuchBucket",
    NoSuchObject: "NoSuchKey",
    NoSuchUpload: "NoSuchUpload",
    ContainerExists: "BucketAlreadyOwnedByYou",
    ContainerNotEmpty: "BucketNotEmpty",
    StoreFull: "InsufficientStorage",
    BodyTooLarge: "EntityTooLarge",
    Unauthorized: "AccessDenied",
    IdentityUnavailable: "ServiceUnavailable",
}


def _name(error: InvalidName) -> S3Error:
    if "bytes" in error.cause and error.kind == "object":
        return S3Error("KeyTooLongError", f"Your key is too long: {error.cause}.")
    if error.kind == "container":
        return S3Error("InvalidBucketName", f"The specified bucket is not valid: {error.cause}.")
    return S3Error("InvalidURI", f"The specified URI could not be parsed: {error.cause}.")


def _precondition(error: PreconditionFailed) -> S3Error:
    """A write with ``If-Match`` to a key that is gone is 404 at S3, not 412."""
    return S3Error("PreconditionFailed") if error.found is not None else S3Error("NoSuchKey")


def cut_short(error: BodyTruncated) -> S3Error:
    """The body ended before its end: because the client left or stopped, or its chunks are broken."""
    if isinstance(error, BodyMalformed):
        return S3Error("InvalidRequest", f"The request body is broken: {error.cause}.")
    return S3Error("RequestTimeout" if isinstance(error, BodyTimedOut) else "IncompleteBody")


_TRANSLATIONS: Mapping[type[Exception], Callable[..., S3Error]] = {
    InvalidName: _name,
    BodyTruncated: cut_short,
    PreconditionFailed: _precondition,
    InvalidPart: lambda error: S3Error("InvalidPart", PartNumber=str(error.number)),
    InvalidMetadata: lambda error: S3Error("InvalidArgument", error.cause),
    DataDamaged: lambda error: S3Error("InternalError", f"The object's data is damaged: {error}"),
    Forbidden: lambda error: S3Error("AccessDenied", f"Access Denied: {error.cause}"),
}


def translate(error: Exception) -> S3Error | None:
    """The refusal that ``error`` stands for, None when it is a fault of ours."""
    if isinstance(error, S3Error):
        return error
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return S3Error(code)
    for kind, make in _TRANSLATIONS.items():
        if isinstance(error, kind):
            return make(error)
    if isinstance(error, ObjectsError):
        return S3Error("InvalidArgument", error.cause)
    if isinstance(error, StoreError):
        return S3Error("ServiceUnavailable")
    return None
