# -*- test-case-name: tests.protocols.rest.identity -*-
"""
What clients send to Identity API v3, member by member.

An absent member and ``null`` are told apart where the API does (``UNSET`` and ``None``).  Members that Keystone has
and cloudd has not yet stand here when common clients always send them; the route that meets one says what it does.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from .._documents import Document, Id, Name, Text

Password = Annotated[str, Meta(min_length=1, max_length=4096)]
ProjectName = Annotated[str, Meta(min_length=1, max_length=64)]
Email = Annotated[str, Meta(max_length=255)]
Options = dict[str, bool | int | str | None]

# --- authentication ---------------------------------------------------------------------------------------------


class DomainRef(Document):
    """A domain by its id or its name."""

    id: Id | None = None
    name: Name | None = None


class ProjectRef(Document):
    """A project by its id, or its name and domain."""

    id: Id | None = None
    name: Name | None = None
    domain: DomainRef | None = None


class UserName(Document):
    """A user by their id, or their name and domain."""

    id: Id | None = None
    name: Name | None = None
    domain: DomainRef | None = None


class PasswordUser(UserName, kw_only=True):
    """A user with their password."""

    password: Annotated[str, Meta(max_length=4096)]


class PasswordMethod(Document):
    """``auth.identity.password``."""

    user: PasswordUser


class TokenMethod(Document):
    """``auth.identity.token``."""

    id: Annotated[str, Meta(min_length=1, max_length=8192)]


class ApplicationCredentialMethod(Document):
    """``auth.identity.application_credential``: by id, or by name and user."""

    secret: Annotated[str, Meta(min_length=1, max_length=4096)]
    id: Id | None = None
    name: Name | None = None
    user: UserName | None = None


class AuthIdentity(Document):
    """``auth.identity``; the members typed ``Any`` belong to methods that are refused by name."""

    methods: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(min_length=1, max_length=8)]
    password: PasswordMethod | None = None
    token: TokenMethod | None = None
    application_credential: ApplicationCredentialMethod | None = None
    totp: Any = None
    external: Any = None
    kerberos: Any = None
    mapped: Any = None
    oauth1: Any = None


class TrustRef(Document):
    """``OS-TRUST:trust``."""

    id: Id


class AuthScope(Document, rename={"trust": "OS-TRUST:trust"}):
    """``auth.scope`` as an object: exactly one member."""

    project: ProjectRef | None = None
    domain: DomainRef | None = None
    system: dict[str, bool] | None = None
    unscoped: dict[str, Any] | None = None
    trust: TrustRef | None = None


class Auth(Document):
    """``auth``."""

    identity: AuthIdentity
    scope: AuthScope | str | None = None


class AuthDocument(Document):
    """Body of ``POST /v3/auth/tokens``."""

    auth: Auth


# --- domains, projects, users, roles ----------------------------------------------------------------------------


class NewDomain(Document):
    """A domain to create."""

    name: Name
    description: Text | None = None
    enabled: bool = True
    options: Options = {}
    tags: list[str] = []


class DomainChange(Document):
    """What of a domain to change."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    options: Options | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET


class NewProject(Document):
    """A project to create."""

    name: ProjectName
    domain_id: Id | None = None
    parent_id: Id | None = None
    description: Text | None = None
    enabled: bool = True
    is_domain: bool | None = False
    options: Options = {}
    tags: list[str] = []


class ProjectChange(Document):
    """What of a project to change; ``domain_id``, ``parent_id`` and ``is_domain`` may only repeat what they are."""

    name: ProjectName | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    domain_id: Id | UnsetType | None = UNSET
    parent_id: Id | UnsetType | None = UNSET
    is_domain: bool | UnsetType | None = UNSET
    options: Options | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET


class NewUser(Document):
    """A user to create; ``project_id`` is what old clients call ``default_project_id``."""

    name: Name
    domain_id: Id | None = None
    password: Password | None = None
    default_project_id: Id | None = None
    project_id: Id | None = None
    description: Text | None = None
    email: Email | None = None
    enabled: bool = True
    options: Options = {}


class UserChange(Document):
    """What of a user to change."""

    name: Name | UnsetType = UNSET
    password: Password | UnsetType | None = UNSET
    default_project_id: Id | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    email: Email | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    domain_id: Id | UnsetType | None = UNSET
    options: Options | UnsetType = UNSET


class PasswordChange(Document):
    """A user's own change of password."""

    password: Password
    original_password: Annotated[str, Meta(max_length=4096)]


class NewRole(Document):
    """A role to create."""

    name: Name
    description: Text | None = None
    domain_id: Id | None = None
    options: Options = {}


class RoleChange(Document):
    """What of a role to change."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET
    domain_id: Id | UnsetType | None = UNSET
    options: Options | UnsetType = UNSET


class NewDomainDocument(Document):
    """Body of ``POST /v3/domains``."""

    domain: NewDomain


class DomainChangeDocument(Document):
    """Body of ``PATCH /v3/domains/{id}``."""

    domain: DomainChange


class NewProjectDocument(Document):
    """Body of ``POST /v3/projects``."""

    project: NewProject


class ProjectChangeDocument(Document):
    """Body of ``PATCH /v3/projects/{id}``."""

    project: ProjectChange


class NewUserDocument(Document):
    """Body of ``POST /v3/users``."""

    user: NewUser


class UserChangeDocument(Document):
    """Body of ``PATCH /v3/users/{id}``."""

    user: UserChange


class PasswordChangeDocument(Document):
    """Body of ``POST /v3/users/{id}/password``."""

    user: PasswordChange


class NewRoleDocument(Document):
    """Body of ``POST /v3/roles``."""

    role: NewRole


class RoleChangeDocument(Document):
    """Body of ``PATCH /v3/roles/{id}``."""

    role: RoleChange


# --- credentials ------------------------------------------------------------------------------------------------


class GivenRole(Document):
    """A role named by a client; some send more of it back than its id."""

    id: Id | None = None
    name: Name | None = None
    domain_id: Id | None = None


class NewApplicationCredential(Document):
    """An application credential to create."""

    name: Name
    description: Text | None = None
    secret: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    expires_at: Annotated[str, Meta(max_length=40)] | None = None
    roles: Annotated[list[GivenRole], Meta(max_length=100)] | None = None
    unrestricted: bool | None = False
    access_rules: list[Any] | None = None


class NewApplicationCredentialDocument(Document):
    """Body of ``POST /v3/users/{id}/application_credentials``."""

    application_credential: NewApplicationCredential


class NewEC2Credential(Document):
    """Body of ``POST /v3/users/{id}/credentials/OS-EC2``."""

    tenant_id: Id
