"""
What S3 refuses, as one exception type and the table of its codes.

The table holds the status and the usual sentence of each code; a refusal may say it better with its own message and
add the elements that some codes carry, for example ``<ArgumentName>``.

Source: Amazon S3 API reference, "Error responses".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ERRORS: Mapping[str, tuple[int, str]] = {
    "AccessDenied": (403, "Access Denied"),
    "AuthorizationHeaderMalformed": (400, "The authorization header that you provided is not valid."),
    "AuthorizationQueryParametersError": (400, "The signature's query parameters are not valid."),
    "BadDigest": (400, "The digest or checksum you specified did not match what was received."),
    "BucketAlreadyOwnedByYou": (409, "The bucket that you tried to create already exists, and you own it."),
    "BucketNotEmpty": (409, "The bucket that you tried to delete is not empty."),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed object size."),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed size."),
    "IllegalLocationConstraintException": (400, "The specified location constraint is not valid."),
    "IncompleteBody": (400, "You did not provide the number of bytes specified by the Content-Length header."),
    "InsufficientStorage": (507, "There is not enough free space to keep this object. Nothing was changed."),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "InvalidAccessKeyId": (403, "The access key ID that you provided does not exist in our records."),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidChunkSizeError": (400, "The size of a chunk is not valid."),
    "InvalidDigest": (400, "The Content-MD5 or checksum value that you specified is not valid."),
    "InvalidPart": (
        400,
        "One or more of the specified parts could not be found. The part may not have been uploaded, or the "
        "specified entity tag may not match the part's entity tag.",
    ),
    "InvalidPartNumber": (416, "The requested part number is not satisfiable."),
    "InvalidPartOrder": (400, "The list of parts was not in ascending order. Order the parts by part number."),
    "InvalidRange": (416, "The requested range is not satisfiable."),
    "InvalidRequest": (400, "Invalid Request"),
    "InvalidStorageClass": (400, "The storage class that you specified is not valid; only STANDARD is offered."),
    "InvalidToken": (400, "The provided token is malformed or otherwise not valid."),
    "InvalidURI": (400, "The specified URI could not be parsed."),
    "KeyTooLongError": (400, "Your key is too long."),
    "MalformedTrailerError": (400, "The request contained trailing data that was not well-formed."),
    "MalformedXML": (400, "The XML that you provided was not well formed or did not validate."),
    "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size."),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "NoSuchBucket": (404, "The specified bucket does not exist."),
    "NoSuchBucketPolicy": (404, "The bucket policy does not exist."),
    "NoSuchConfiguration": (404, "The specified configuration does not exist."),
    "NoSuchCORSConfiguration": (404, "The CORS configuration does not exist."),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchLifecycleConfiguration": (404, "The lifecycle configuration does not exist."),
    "NoSuchObjectLockConfiguration": (404, "The specified object does not have an ObjectLock configuration."),
    "NoSuchPublicAccessBlockConfiguration": (404, "The public access block configuration was not found."),
    "NoSuchTagSet": (404, "The TagSet does not exist."),
    "NoSuchUpload": (
        404,
        "The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have been "
        "aborted or completed.",
    ),
    "NoSuchVersion": (404, "The specified version does not exist; this store keeps one version of an object."),
    "NoSuchWebsiteConfiguration": (404, "The specified bucket does not have a website configuration."),
    "NotImplemented": (501, "A header or parameter that you provided implies functionality that is not offered."),
    "ObjectLockConfigurationNotFoundError": (404, "Object Lock configuration does not exist for this bucket."),
    "OwnershipControlsNotFoundError": (404, "The bucket ownership controls were not found."),
    "PreconditionFailed": (412, "At least one of the preconditions that you specified did not hold."),
    "ReplicationConfigurationNotFoundError": (404, "The replication configuration was not found."),
    "RequestTimeTooSkewed": (403, "The difference between the request time and the server's time is too large."),
    "RequestTimeout": (400, "Your socket connection to the server was not read from or written to in time."),
    "ServerSideEncryptionConfigurationNotFoundError": (
        404,
        "The server-side encryption configuration was not found.",
    ),
    "ServiceUnavailable": (503, "Service is unable to handle the request. Please reduce your request rate."),
    "SignatureDoesNotMatch": (
        403,
        "The request signature that we calculated does not match the signature that you provided. Check your key "
        "and signing method.",
    ),
    "SlowDown": (503, "Please reduce your request rate."),
    "XAmzContentSHA256Mismatch": (
        400,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    ),
}


class S3Error(Exception):
    """
    A refusal in S3's words.

    :param code: one of ``ERRORS``; decides the status
    :param message: the sentence for the user; the code's usual one when empty
    :param headers: further header fields of the answer
    :param facts: further elements of the error document
    """

    def __init__(
        self, code: str, message: str = "", *, headers: Iterable[tuple[bytes, bytes]] = (), **facts: str
    ) -> None:
        self.status, usual = ERRORS[code]
        self.code = code
        self.message = message or usual
        self.headers = tuple(headers)
        self.facts = facts
        super().__init__(f"{code}: {self.message}")


def not_implemented(what: str) -> S3Error:
    """The refusal of a feature by its name, so that the user need not guess which header was meant."""
    return S3Error("NotImplemented", f"{what} is not offered by this store.")
