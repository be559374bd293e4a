"""
Configurations that S3 has and this store has not: each read gets S3's own "not set", each write says so.

A client that reads a configuration must not learn that the call failed, but that there is none: Terraform asks for a
dozen of them after it made a bucket.  Deleting what is not set succeeds, as at S3.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from cloudd.objects import Action

from ._call import PRIVATE_ACLS, Call
from ._errors import S3Error, not_implemented
from ._listing import owner
from ._xml import element, parse, texts

Operation = Callable[[Call], Coroutine[Any, Any, None]]
MAX_ACL_BYTES = 65_536
_INSTANCE = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'

#: Bucket sub-resource -> error code of its "not set".
NOT_SET: Mapping[str, str] = {
    "analytics": "NoSuchConfiguration",
    "cors": "NoSuchCORSConfiguration",
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "intelligent-tiering": "NoSuchConfiguration",
    "inventory": "NoSuchConfiguration",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "metrics": "NoSuchConfiguration",
    "object-lock": "ObjectLockConfigurationNotFoundError",
    "ownershipControls": "OwnershipControlsNotFoundError",
    "policy": "NoSuchBucketPolicy",
    "policyStatus": "NoSuchBucketPolicy",
    "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
    "replication": "ReplicationConfigurationNotFoundError",
    "tagging": "NoSuchTagSet",
    "website": "NoSuchWebsiteConfiguration",
}

#: Bucket sub-resource -> the document of its "not set".
EMPTY: Mapping[str, tuple[str, str]] = {
    "accelerate": ("AccelerateConfiguration", ""),
    "logging": ("BucketLoggingStatus", ""),
    "notification": ("NotificationConfiguration", ""),
    "requestPayment": ("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"),
    "versioning": ("VersioningConfiguration", ""),
}


def bucket_not_set(name: str) -> Operation:
    """GET of the bucket sub-resource ``name``."""

    async def answer(call: Call) -> None:
        await call.authorize(Action.LIST_OBJECTS)
        await call.store.container(call.account, call.bucket)
        if name in EMPTY:
            call.answer_xml(*EMPTY[name])
        else:
            raise S3Error(NOT_SET[name], BucketName=call.bucket)

    return answer


def refused(name: str) -> Operation:
    """Any call that would set or use the sub-resource ``name``."""

    async def refuse(call: Call) -> None:
        raise not_implemented(f"The sub-resource ?{name} with {call.request.method.decode('latin-1')}")

    return refuse


async def bucket_deleted(call: Call) -> None:
    """DELETE of a configuration that was never set."""
    await call.authorize(Action.CHANGE_CONTAINER)
    await call.store.container(call.account, call.bucket)
    call.answer(204)


async def object_tagging(call: Call) -> None:
    """GET object?tagging: an object without tags has an empty set, unlike a bucket."""
    await call.authorize(Action.READ_OBJECT)
    call.check_version()
    await call.store.object(call.account, call.bucket, call.key)
    call.answer_xml("Tagging", element("TagSet"))


async def object_tagging_deleted(call: Call) -> None:
    """DELETE object?tagging."""
    await call.authorize(Action.WRITE_OBJECT)
    await call.store.object(call.account, call.bucket, call.key)
    call.answer(204)


async def object_lock(call: Call) -> None:
    """GET object?retention and ?legal-hold."""
    await call.authorize(Action.READ_OBJECT)
    await call.store.object(call.account, call.bucket, call.key)
    raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")


async def get_acl(call: Call) -> None:
    """GET ?acl: the owner has full control, nobody else has anything through S3."""
    await _check_exists(call, Action.READ_OBJECT if call.key else Action.LIST_OBJECTS)
    grantee = texts([("ID", call.owner_id), ("DisplayName", call.owner_name)])
    grant = f'<Grantee {_INSTANCE} xsi:type="CanonicalUser">{grantee}</Grantee><Permission>FULL_CONTROL</Permission>'
    call.answer_xml("AccessControlPolicy", owner(call), element("AccessControlList", element("Grant", grant)))


async def put_acl(call: Call) -> None:
    """
    PUT ?acl.  What changes nothing is accepted, since clients send it by habit.

    :raises S3Error: ``NotImplemented``: anybody but the owner would get access
    """
    await _check_exists(call, Action.WRITE_OBJECT if call.key else Action.CHANGE_CONTAINER)
    if any(name.startswith("x-amz-grant-") for name in call.headers):
        raise not_implemented("Granting access by header")
    if call.headers.get("x-amz-acl", "") not in PRIVATE_ACLS:
        raise not_implemented(f"The canned ACL {call.headers['x-amz-acl']!r}; only private is, and it")
    body = await call.payload().read(MAX_ACL_BYTES)
    if body:
        _check_grants(call, body)
    call.answer(200)


def _check_grants(call: Call, body: bytes) -> None:
    policy = parse(body, "AccessControlPolicy")
    grants = policy.child("AccessControlList")
    if grants is None:
        raise S3Error("MalformedXML", "An AccessControlPolicy needs an AccessControlList.")
    for grant in grants.children("Grant"):
        grantee = grant.child("Grantee")
        is_owner = grantee is not None and grantee.value("ID") == call.owner_id
        if not is_owner or grant.value("Permission") != "FULL_CONTROL":
            raise not_implemented("A grant to anybody but the owner; use Swift's container access lists, since it")


async def _check_exists(call: Call, action: Action) -> None:
    await call.authorize(action)
    if call.key:
        call.check_version()
        await call.store.object(call.account, call.bucket, call.key)
    else:
        await call.store.container(call.account, call.bucket)
