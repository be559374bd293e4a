"""
The facts of identity as values: who asks, log-ins, and the records that the API shows.

Times are whole microseconds since the epoch.  Fields that can open a door are left out of ``repr``.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import field, frozen

Record = TypeVar("Record")


@frozen
class RoleRef:
    id: str
    name: str


@frozen(kw_only=True)
class Access:
    """Who is asking and where: from a token, an EC2 key or TempAuth.  A project, a domain, or neither is in scope."""

    user_id: str
    user_name: str
    user_domain_id: str
    user_domain_name: str
    project_id: str | None = None
    project_name: str | None = None
    project_domain_id: str | None = None
    project_domain_name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None
    roles: tuple[RoleRef, ...] = ()  # implied ones included, in the order of their names
    methods: tuple[str, ...] = ()
    audit_ids: tuple[str, ...] = ()  # its own, then that of the first token of its chain
    issued_at: int = 0
    expires_at: int = 0
    application_credential_id: str | None = None
    unrestricted: bool = True  # false: got with a credential that may not make or read further ones
    role_names: frozenset[str] = field(init=False, repr=False, eq=False)

    @role_names.default
    def _names_of_roles(self) -> frozenset[str]:
        return frozenset(role.name for role in self.roles)

    def has_role(self, name: str) -> bool:
        """Whether the role ``name`` is held in this scope, directly or implied by a stronger one."""
        return name in self.role_names

    @property
    def is_admin(self) -> bool:
        """The cloud's operator: role admin in any scope, as everywhere in OpenStack."""
        return "admin" in self.role_names


@frozen
class IssuedToken:
    """A fresh token and what it stands for."""

    token: str = field(repr=False)
    access: Access


@frozen
class Ec2Access:
    """What an S3 signature is checked with, and who signed."""

    secret: str = field(repr=False)
    access: Access


# --- log-ins -------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class UserRef:
    """A user by ``id``, or by ``name`` with the id or name of the domain."""

    id: str | None = None
    name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None


@frozen(kw_only=True)
class PasswordLogin:
    user: UserRef
    password: str = field(repr=False)


@frozen(kw_only=True)
class ApplicationCredentialLogin:
    """By ``id``, or by ``name`` with its ``user``."""

    secret: str = field(repr=False)
    id: str | None = None
    name: str | None = None
    user: UserRef | None = None


@frozen(kw_only=True)
class ProjectScope:
    """A project by ``id``, or by ``name`` with the id or name of its domain."""

    id: str | None = None
    name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None


@frozen(kw_only=True)
class DomainScope:
    id: str | None = None
    name: str | None = None


@frozen
class Unscoped:
    """Asked for by name: no scope, not even the default project."""


Scope = ProjectScope | DomainScope | Unscoped


@frozen(kw_only=True)
class AuthRequest:
    """
    One log-in.

    :param methods: ``password``, ``token``, ``application_credential``; each has its part below
    :param scope: ``None``: the default project when there is one and the user has a role on it, else unscoped
    """

    methods: tuple[str, ...]
    password: PasswordLogin | None = None
    token: str | None = field(default=None, repr=False)
    application_credential: ApplicationCredentialLogin | None = None
    scope: Scope | None = None


# --- records -------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Page(Generic[Record]):
    """Part of a list, in the order of ids; ``truncated``: more follow after the last one's id as ``marker``."""

    items: tuple[Record, ...]
    truncated: bool = False


@frozen(kw_only=True)
class Domain:
    id: str
    name: str
    description: str
    enabled: bool


@frozen(kw_only=True)
class Project:
    id: str
    domain_id: str
    parent_id: str  # the domain's id for a project at the top
    name: str
    description: str
    enabled: bool


@frozen(kw_only=True)
class User:
    id: str
    domain_id: str
    name: str
    description: str
    email: str | None
    default_project_id: str | None
    enabled: bool


@frozen(kw_only=True)
class Role:
    id: str
    name: str
    description: str


@frozen(kw_only=True)
class Assignment:
    """``user_id`` has ``role_id`` on one project or one domain.  Names are there when they were asked for."""

    user_id: str
    role_id: str
    project_id: str | None = None
    domain_id: str | None = None
    user_name: str = ""
    user_domain_id: str = ""
    user_domain_name: str = ""
    role_name: str = ""
    project_name: str = ""
    project_domain_id: str = ""
    project_domain_name: str = ""
    domain_name: str = ""


@frozen(kw_only=True)
class ApplicationCredential:
    id: str
    user_id: str
    project_id: str
    name: str
    description: str
    unrestricted: bool
    expires_at: int | None
    roles: tuple[RoleRef, ...]
    secret: str | None = field(default=None, repr=False)  # only in the answer to `create`


@frozen(kw_only=True)
class Ec2Credential:
    access: str
    user_id: str
    project_id: str
    secret: str = field(repr=False)
