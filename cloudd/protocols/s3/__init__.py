"""
The S3 face of the object store.

A bucket is the container of that name in the account of the credential's project, an object is the object that Swift
shows under the same name.  A request goes through signature (``_signature``), address and operation (``_face``,
``_operations``), and an operation reads, asks for leave, and calls the store::

    handler = s3_face(identity, objects, resources)
    await handler(request)  # answers; errors become S3's error documents

What is served and what is not is told in ``docs/s3.md``.
"""

from cloudd.identity import Identity
from cloudd.interfaces.application import Resources
from cloudd.objects import Objects
from cloudd.protocols.http import Handler

from ._face import Face
from ._operations import STATES as S3_STATES


def s3_face(identity: Identity, objects: Objects, resources: Resources) -> Handler:
    """
    The handler of the S3 port.

    :param identity: asked for the secrets of EC2 credentials
    :param objects: asked for leave; its store keeps the data
    """
    return Face(identity, objects, resources)


__all__ = ["S3_STATES", "s3_face"]
