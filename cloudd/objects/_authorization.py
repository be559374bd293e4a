"""
Who may do what to an account, a container and its objects.

A project's own members come first: ``reader`` reads, ``member`` and ``manager`` write, in the project's own account.
An administrator may do everything everywhere.  Then the container's access lists let others in.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from storage import ContainerFacts

from ._acl import parse_access_list
from ._names import account_of

READ_LIST = "acl:read"
WRITE_LIST = "acl:write"


class Asker(Protocol):
    """The part of ``cloudd.identity.Access`` that counts here."""

    @property
    def user_id(self) -> str: ...

    @property
    def project_id(self) -> str | None: ...

    @property
    def is_admin(self) -> bool: ...

    def has_role(self, name: str, /) -> bool: ...


class Action(Enum):
    """What is asked for.  The access lists of a container reach no further than the first three."""

    READ_OBJECT = "read an object"
    LIST_OBJECTS = "list a container"  # GET and HEAD of the container
    WRITE_OBJECT = "write an object"  # PUT, POST, DELETE, and the destination of a copy
    READ_ACCOUNT = "list an account"  # GET and HEAD of the account, HEAD of a bucket's configuration
    CHANGE_CONTAINER = "change a container"  # create, delete, metadata, access lists
    CHANGE_ACCOUNT = "change an account"

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self is Action.READ_OBJECT or self is Action.LIST_OBJECTS or self is Action.READ_ACCOUNT


def allowed_by_role(access: Asker | None, account: str, action: Action) -> bool:
    """Whether role and project are enough, without a look at the container."""
    if access is None:
        return False
    if access.is_admin:
        return True
    if access.project_id is None or account != account_of(access.project_id):
        return False
    return access.has_role("reader" if action.reads else "member") or access.has_role("member")


def allowed_by_list(access: Asker | None, container: ContainerFacts, action: Action, referrer: str = "") -> bool:
    """
    Whether the container's access lists let this in.

    :param referrer: the ``Referer`` header
    """
    if action is Action.WRITE_OBJECT:
        writers = parse_access_list(container.metadata.get(WRITE_LIST, ""))
        return access is not None and writers.admits_user(access.project_id, access.user_id)
    if action not in (Action.READ_OBJECT, Action.LIST_OBJECTS):
        return False
    readers = parse_access_list(container.metadata.get(READ_LIST, ""))
    if access is not None and readers.admits_user(access.project_id, access.user_id):
        return True
    return (action is Action.READ_OBJECT or readers.listings) and readers.admits_referrer(referrer)
