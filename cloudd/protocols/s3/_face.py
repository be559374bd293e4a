"""From a request to its operation, and from whatever went wrong to S3's error document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from cloudd.identity import Access, Ec2Access, Identity, NoSuchCredential
from cloudd.interfaces.application import Resources
from cloudd.objects import Objects
from cloudd.protocols.http import ClientGone, Request
from storage import UnknownState

from ._call import HOST_ID, Address, Call, locate, virtual_bucket
from ._canonical import query_pairs
from ._errors import S3Error
from ._faults import translate
from ._operations import RESUMED, choose
from ._presigned_v2 import PresignedV2, read_presigned_v2, verify_presigned_v2
from ._signature import Claim, Signed, SigningKeys, read_claim, verify
from ._xml import CONTENT_TYPE, error_document


@define(eq=False)
class Face:
    """
    Answers every request of the S3 port; one per generation.

    The signature is checked before anything else is read: who has no key learns nothing, not even whether a bucket
    exists.
    """

    identity: Identity
    objects: Objects
    resources: Resources
    _keys: SigningKeys = field(factory=SigningKeys, init=False)
    _log: Logger = field(factory=lambda: Logger(namespace="cloudd.protocols.s3"), init=False)

    async def __call__(self, request: Request) -> None:
        try:
            await self._answer(request)
        except (ClientGone, CancelledError):
            raise
        except Exception as error:
            self._refuse(request, error)

    async def _answer(self, request: Request) -> None:
        if request.method == b"OPTIONS":
            raise S3Error("AccessDenied", "CORSResponse: CORS is not enabled for this bucket.")
        settings = self.resources.settings.objects
        pairs = query_pairs(request.query)
        claim = _read_claim(request, pairs)
        address = locate(request.path, request.header(b"host"), settings.s3_host)
        if request.resumed is not None:
            await self._go_on(request, request.resumed, address, claim, pairs)
            return
        credential = await self._credential(claim)
        signed = self._verify(claim, credential.secret, request, pairs)
        if credential.access.project_id is None:
            raise S3Error("AccessDenied", "The EC2 credential has no project, so it owns no buckets.")
        request.project_id = credential.access.project_id
        await self._run(self._call(request, address, claim, pairs, credential.access, signed), address)

    async def _go_on(
        self,
        request: Request,
        state: Mapping[str, Any],
        address: Address,
        claim: Claim | PresignedV2,
        pairs: Sequence[tuple[bytes, bytes]],
    ) -> None:
        """Go on with a request that was begun in another process, where its signature was verified."""
        assert request.state is not None
        operation = RESUMED.get(request.state.kind)
        if operation is None:
            raise UnknownState(f"no request goes on here with {request.state.kind!r}")
        access, signed = Call.told(state["caller"])
        await operation(self._call(request, address, claim, pairs, access, signed))

    def _call(
        self,
        request: Request,
        address: Address,
        claim: Claim | PresignedV2,
        pairs: Sequence[tuple[bytes, bytes]],
        access: Access,
        signed: Signed,
    ) -> Call:
        query = _query(pairs)
        return Call(
            request=request,
            address=address,
            headers=_headers(request, query if claim.presigned else {}),
            query=query,
            access=access,
            signed=signed,
            objects=self.objects,
            resources=self.resources,
        )

    def _verify(
        self, claim: Claim | PresignedV2, secret: str, request: Request, pairs: Sequence[tuple[bytes, bytes]]
    ) -> Signed:
        settings = self.resources.settings.objects
        now = self.resources.reactor.seconds()
        facts = (secret, request.method, request.path)
        if isinstance(claim, PresignedV2):
            bucket = virtual_bucket(request.header(b"host"), settings.s3_host).decode("latin-1")
            return verify_presigned_v2(claim, *facts, dict(pairs), request.headers, bucket=bucket, now=now)
        return verify(claim, *facts, pairs, request.headers, now=now, skew_s=settings.clock_skew_s, keys=self._keys)

    async def _run(self, call: Call, address: Address) -> None:
        method = call.request.method.decode("latin-1")
        copies = "x-amz-copy-source" in call.headers
        operation = choose(address.level, method, call.query, copies=copies)
        call.request.route = f"s3/{operation.name}"
        await operation.run(call)

    async def _credential(self, claim: Claim | PresignedV2) -> Ec2Access:
        try:
            return await self.identity.ec2_access(claim.access_key)
        except NoSuchCredential as cause:
            raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=claim.access_key) from cause

    def _refuse(self, request: Request, error: Exception) -> None:
        refusal = translate(error)
        if refusal is None:
            self._log.failure("S3 request {request_id} failed", request_id=request.id)
            refusal = S3Error("InternalError")
        if request.started:
            request.abort()
            return
        resource = request.path.decode("utf-8", "replace")
        body = error_document(refusal, resource, request.id, HOST_ID.decode("ascii"))
        headers = [CONTENT_TYPE, (b"x-amz-id-2", HOST_ID), *refusal.headers]
        request.respond(refusal.status, headers, b"" if request.method == b"HEAD" else body)


def _query(pairs: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """:raises S3Error: ``InvalidURI``: a parameter that is not UTF-8"""
    query: dict[str, str] = {}
    try:
        for name, value in pairs:
            query.setdefault(name.decode("utf-8"), value.decode("utf-8"))
    except UnicodeDecodeError as cause:
        raise S3Error("InvalidURI", "A query parameter is not valid UTF-8.") from cause
    return query


def _read_claim(request: Request, pairs: Sequence[tuple[bytes, bytes]]) -> Claim | PresignedV2:
    if request.header(b"authorization") is None and (claim := read_presigned_v2(pairs)) is not None:
        return claim
    return read_claim(request.headers, pairs)


def _headers(request: Request, signed_query: Mapping[str, str]) -> dict[str, str]:
    """
    The fields as text; repeated ones joined.

    :param signed_query: of a presigned request: some SDKs move ``x-amz-`` fields there, where they are signed as well
    """
    headers = {name.lower(): text for name, text in signed_query.items() if name.lower().startswith("x-amz-")}
    for name, value in request.headers:
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError:
            text = value.decode("latin-1")
        key = name.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return headers
