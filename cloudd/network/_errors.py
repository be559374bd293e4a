"""
What the network service refuses, and why.

Each has Neutron's own name for it (``type``), since clients look at that; ``cause`` is a sentence for people.
"""

from __future__ import annotations


class NetworkError(Exception):
    """
    Base of everything below.

    :ivar status: of the answer in HTTP
    """

    status = 400

    def __init__(self, kind: str, cause: str) -> None:
        super().__init__(cause)
        self.type = kind
        self.cause = cause


class BadNetworkValue(NetworkError):
    """A value has the wrong type or form, or does not fit the others (400)."""

    def __init__(self, cause: str, kind: str = "InvalidInput") -> None:
        super().__init__(kind, cause)


class NetworkForbidden(NetworkError):
    """Whoever asks may see it, but not do this (403)."""

    status = 403

    def __init__(self, cause: str, kind: str = "PolicyNotAuthorized") -> None:
        super().__init__(kind, cause)


class NoSuchResource(NetworkError):
    """There is none, or who asks may not know of it (404)."""

    status = 404

    def __init__(self, kind: str, resource_id: str) -> None:
        words = {"SecurityGroup": "Security group", "SecurityGroupRule": "Security group rule"}.get(kind, kind)
        ending = "does not exist" if kind.startswith("SecurityGroup") else "could not be found."
        super().__init__(f"{kind}NotFound", f"{words} {resource_id} {ending}")


class NetworkConflict(NetworkError):
    """Something else is in the way (409); nothing was changed."""

    status = 409


class NoAddressLeft(NetworkConflict):
    """All addresses of a subnet's pools are given (409)."""

    def __init__(self, network_id: str) -> None:
        super().__init__("IpAddressGenerationFailure", f"No more IP addresses available on network {network_id}.")
