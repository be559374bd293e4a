"""
Signature version 4: what a request claims, and whether its secret's owner made it.

Reading a claim needs no secret, so the caller looks up the access key in between::

    claim = read_claim(headers, pairs)
    signed = verify(claim, secret, method, path, pairs, headers, now=now, skew_s=900, keys=keys)

Everything here is pure; ``SigningKeys`` is a cache whose entries are found by the secret itself, so a changed secret
never meets an old key.
"""

from __future__ import annotations

import hmac
import re
from calendar import timegm
from collections.abc import Mapping, Sequence
from hashlib import sha256
from time import gmtime, strftime, strptime

from attrs import define, field, frozen

from cloudd.objects import parse_http_date

from ._canonical import Header, canonical_request, sha256_hex, string_to_sign
from ._errors import S3Error

ALGORITHM = b"AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = b"UNSIGNED-PAYLOAD"
STREAMING = b"STREAMING-"
MAX_EXPIRES_S = 604_800

# Fields that proxies and SDKs add after signing, or that only repeat what is signed elsewhere.
_MAY_BE_UNSIGNED = frozenset({b"x-amz-content-sha256", b"x-amz-user-agent", b"x-amz-date", b"x-amz-te"})
_DATE = re.compile(rb"\d{8}T\d{6}Z")
_HEADER_PART = re.compile(rb"\s*(Credential|SignedHeaders|Signature)\s*=\s*([^,\s]+)\s*")


@frozen(kw_only=True)
class Claim:
    """Who says to have signed what, and when; nothing is verified yet."""

    access_key: str
    day: bytes
    region: bytes
    signed_headers: tuple[bytes, ...]
    signature: bytes = field(repr=False)
    date: bytes
    expires_s: int | None  # None: signed by header
    payload: bytes  # value of x-amz-content-sha256, or UNSIGNED-PAYLOAD

    @property
    def presigned(self) -> bool:
        return self.expires_s is not None

    @property
    def scope(self) -> bytes:
        return b"/".join((self.day, self.region, b"s3", b"aws4_request"))


@frozen(kw_only=True)
class Signed:
    """What a verified signature says of the body, and what a streamed body goes on signing with."""

    payload: bytes
    key: bytes = field(default=b"", repr=False)
    date: bytes = b""
    scope: bytes = b""
    signature: bytes = field(default=b"", repr=False)

    def tell(self) -> dict[str, bytes]:
        """Its fields for another process; the key only where the body goes on being signed with it."""
        if not self.payload.startswith(STREAMING):
            return {"payload": self.payload}
        names = ("payload", "key", "date", "scope", "signature")
        return {name: getattr(self, name) for name in names}


@define
class SigningKeys:
    """The keys derived of late, at most ``limit``; the oldest goes first."""

    limit: int = 1024
    _kept: dict[tuple[str, bytes, bytes], bytes] = field(factory=dict, repr=False)

    def get(self, secret: str, day: bytes, region: bytes) -> bytes:
        found = self._kept.get((secret, day, region))
        if found is None:
            found = signing_key(secret, day, region)
            if len(self._kept) >= self.limit:
                del self._kept[next(iter(self._kept))]
            self._kept[secret, day, region] = found
        return found


def sign(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, sha256)


def signing_key(secret: str, day: bytes, region: bytes) -> bytes:
    key = b"AWS4" + secret.encode("utf-8")
    for part in (day, region, b"s3", b"aws4_request"):
        key = sign(key, part)
    return key


def read_claim(headers: Sequence[Header], pairs: Sequence[tuple[bytes, bytes]]) -> Claim:
    """
    What the request says about its signature, from its header or its query.

    :param pairs: the decoded query
    :raises S3Error: nothing is signed, an older signature version is used, or the claim is malformed
    """
    query = dict(pairs)
    authorization = _first(headers, b"authorization")
    if authorization is not None:
        if b"X-Amz-Algorithm" in query or b"X-Amz-Signature" in query:
            raise S3Error("InvalidArgument", "Only one way to authenticate is allowed: header or query.")
        return _from_header(authorization, headers)
    if b"X-Amz-Algorithm" in query or b"X-Amz-Signature" in query:
        return _from_query(query, headers)
    raise S3Error("AccessDenied", "The request is not signed. Sign it with AWS4-HMAC-SHA256 and an EC2 credential.")


def verify(
    claim: Claim,
    secret: str,
    method: bytes,
    path: bytes,
    pairs: Sequence[tuple[bytes, bytes]],
    headers: Sequence[Header],
    *,
    now: float,
    skew_s: int,
    keys: SigningKeys,
) -> Signed:
    """
    Check time, signed headers and signature.

    :param now: seconds since the epoch
    :raises S3Error: ``RequestTimeTooSkewed``, ``AccessDenied``, ``SignatureDoesNotMatch``
    """
    _check_time(claim, now, skew_s)
    _check_signed_headers(claim, headers)
    request = canonical_request(method, path, pairs, headers, claim.signed_headers, claim.payload)
    key = keys.get(secret, claim.day, claim.region)
    text = string_to_sign(ALGORITHM, claim.date, claim.scope, sha256_hex(request))
    if not hmac.compare_digest(sign(key, text).hex().encode("ascii"), claim.signature):
        raise S3Error(
            "SignatureDoesNotMatch",
            AWSAccessKeyId=claim.access_key,
            StringToSign=text.decode("latin-1"),
            SignatureProvided=claim.signature.decode("latin-1"),
            CanonicalRequest=request.decode("latin-1"),
        )
    return Signed(payload=claim.payload, key=key, date=claim.date, scope=claim.scope, signature=claim.signature)


def _first(headers: Sequence[Header], name: bytes) -> bytes | None:
    return next((value for found, value in headers if found == name), None)


def _old_version() -> S3Error:
    return S3Error(
        "InvalidRequest",
        "Signature version 2 in a header is not supported. Please use AWS4-HMAC-SHA256 (signature version 4).",
    )


def _from_header(authorization: bytes, headers: Sequence[Header]) -> Claim:
    algorithm, _, rest = authorization.strip().partition(b" ")
    if algorithm == b"AWS":
        raise _old_version()
    if algorithm != ALGORITHM:
        named = algorithm.decode("latin-1")
        raise S3Error("InvalidRequest", f"The authorization {named!r} is not supported. Please use AWS4-HMAC-SHA256.")
    facts: dict[bytes, bytes] = {}
    for part in rest.split(b","):
        found = _HEADER_PART.fullmatch(part)
        if found is None or found[1] in facts:
            raise S3Error("AuthorizationHeaderMalformed", "Expected Credential, SignedHeaders and Signature once each.")
        facts[found[1]] = found[2]
    if len(facts) != 3:
        raise S3Error("AuthorizationHeaderMalformed", "Credential, SignedHeaders and Signature are all required.")
    payload = _first(headers, b"x-amz-content-sha256")
    if payload is None:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    date = _first(headers, b"x-amz-date") or _basic_date(_first(headers, b"date") or b"")
    return _claim(facts, date.strip(), None, payload.strip(), "AuthorizationHeaderMalformed")


def _basic_date(date: bytes) -> bytes:
    """The ``Date`` header in the form that is signed; what is no HTTP date stays."""
    seconds = parse_http_date(date)
    return date if seconds is None else strftime("%Y%m%dT%H%M%SZ", gmtime(seconds)).encode("ascii")


def _from_query(query: Mapping[bytes, bytes], headers: Sequence[Header]) -> Claim:
    code = "AuthorizationQueryParametersError"
    if query.get(b"X-Amz-Algorithm") != ALGORITHM:
        raise S3Error(code, "X-Amz-Algorithm only supports AWS4-HMAC-SHA256.")
    needed = (b"Credential", b"Date", b"Expires", b"SignedHeaders", b"Signature")
    missing = [name.decode() for name in needed if b"X-Amz-" + name not in query]
    if missing:
        raise S3Error(code, f"Missing query parameters: {', '.join('X-Amz-' + name for name in missing)}.")
    expires = query[b"X-Amz-Expires"]
    if not expires.isdigit() or len(expires) > 6 or not 1 <= int(expires) <= MAX_EXPIRES_S:
        raise S3Error(code, f"X-Amz-Expires must be a number of seconds from 1 to {MAX_EXPIRES_S}.")
    facts = {name: query[b"X-Amz-" + name] for name in (b"Credential", b"SignedHeaders", b"Signature")}
    payload = query.get(b"X-Amz-Content-Sha256", UNSIGNED_PAYLOAD)
    if b"x-amz-content-sha256" in facts[b"SignedHeaders"].split(b";"):
        payload = _first(headers, b"x-amz-content-sha256") or payload
    return _claim(facts, query[b"X-Amz-Date"], int(expires), payload, code)


def _claim(facts: Mapping[bytes, bytes], date: bytes, expires_s: int | None, payload: bytes, code: str) -> Claim:
    access_key, _, scope = facts[b"Credential"].partition(b"/")
    parts = scope.split(b"/")
    if len(parts) != 4 or not access_key or not parts[1]:
        raise S3Error(code, "The credential must have the form <access key>/YYYYMMDD/<region>/s3/aws4_request.")
    if parts[2:] != [b"s3", b"aws4_request"]:
        raise S3Error(code, "The credential's scope must end in s3/aws4_request.")
    if not _DATE.fullmatch(date):
        raise S3Error(
            "AccessDenied", "AWS authentication requires a valid x-amz-date of the form YYYYMMDD'T'HHMMSS'Z'."
        )
    if parts[0] != date[:8]:
        raise S3Error(code, "The day in the credential's scope is not the day of the request's date.")
    signed = tuple(facts[b"SignedHeaders"].split(b";"))
    if b"host" not in signed or list(signed) != sorted({name.lower() for name in signed}):
        raise S3Error(code, "SignedHeaders must be sorted, lower-case and contain host.")
    return Claim(
        access_key=access_key.decode("utf-8", "replace"),
        day=parts[0],
        region=parts[1],
        signed_headers=signed,
        signature=facts[b"Signature"],
        date=date,
        expires_s=expires_s,
        payload=payload,
    )


def _check_time(claim: Claim, now: float, skew_s: int) -> None:
    try:
        signed_at = timegm(strptime(claim.date.decode("ascii"), "%Y%m%dT%H%M%SZ"))
    except ValueError as cause:
        raise S3Error("AccessDenied", "The request's date is not a date.") from cause
    if claim.expires_s is None:
        if abs(now - signed_at) > skew_s:
            raise S3Error(
                "RequestTimeTooSkewed",
                RequestTime=claim.date.decode("ascii"),
                MaxAllowedSkewMilliseconds=str(skew_s * 1000),
            )
    elif signed_at > now + skew_s:
        raise S3Error("AccessDenied", "Request is not valid yet")
    elif now > signed_at + claim.expires_s:
        raise S3Error("AccessDenied", "Request has expired", RequestLifetimeSeconds=str(claim.expires_s))


def _check_signed_headers(claim: Claim, headers: Sequence[Header]) -> None:
    """Every ``x-amz-`` header must be signed: else whoever sees a request could add to it and send it again."""
    signed = set(claim.signed_headers)
    loose = {name for name, _ in headers if name.startswith(b"x-amz-")} - signed
    if loose - _MAY_BE_UNSIGNED:
        names = ", ".join(sorted(name.decode("latin-1") for name in loose - _MAY_BE_UNSIGNED))
        raise S3Error(
            "AccessDenied", "There were headers present in the request which were not signed", HeadersNotSigned=names
        )
