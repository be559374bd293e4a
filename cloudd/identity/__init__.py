"""
Who may do what: domains, projects, users, roles, credentials and tokens, as in the Identity API v3.

::

    identity = Identity(resources)
    identity.start(state)
    access = identity.cached(token) or await identity.authenticate_token(token)
    await identity.revoke(access, token)
    issued = await identity.authenticate(AuthRequest(methods=("password",), password=PasswordLogin(...)))
    project = await identity.projects.create(access, {"name": "blue", "domain_id": "default"})

Each kind of record has its own part, and every call of it takes the caller's ``Access`` first and checks the rules in
``_policy``::

    identity.domains                  create(access, values)  get(access, id)  update(access, id, values)
    identity.projects                 delete(access, id)  list(access, **filters, marker=None, limit=1000) -> Page
    identity.users                    ... and change_password(access, user_id, original, password)
    identity.roles                    ... and implied(access) -> list[(prior: Role, implied: tuple[Role, ...])]
    identity.assignments              grant, revoke, check(access, role_id=, user_id=, project_id= or domain_id=)
                                      list(access, **filters, effective=False, names=False) -> Page
                                      roles(access, user_id=, project_id= or domain_id=) -> list[Role]
    identity.application_credentials  create(access, user_id, values)  get/delete(access, user_id, id)
                                      list(access, user_id, name=None, ...) -> Page
    identity.ec2_credentials          create(access, user_id, project_id)  get/delete(access, user_id, access_key)
                                      list(access, user_id) -> Page
    identity.own                      projects(access), domains(access): what this user could ask a token for

``values`` are the API's own member names; a wrong type, an unknown or a missing name is ``BadValue`` with the field.
"""

from ._bootstrap import bootstrap, first_login_kept
from ._errors import (
    BadValue,
    Conflict,
    Forbidden,
    IdentityError,
    IdentityUnavailable,
    InvalidToken,
    NoSuchCredential,
    NotFound,
    NotOffered,
    Unauthorized,
)
from ._keys import Keys, create_keys
from ._service import Identity
from ._values import (
    Access,
    ApplicationCredential,
    ApplicationCredentialLogin,
    Assignment,
    AuthRequest,
    Domain,
    DomainScope,
    Ec2Access,
    Ec2Credential,
    IssuedToken,
    Page,
    PasswordLogin,
    Project,
    ProjectScope,
    Role,
    RoleRef,
    Scope,
    Unscoped,
    User,
    UserRef,
)
from ._verification import Concerns

__all__ = [
    "Access",
    "ApplicationCredential",
    "ApplicationCredentialLogin",
    "Assignment",
    "AuthRequest",
    "BadValue",
    "Concerns",
    "Conflict",
    "Domain",
    "DomainScope",
    "Ec2Access",
    "Ec2Credential",
    "Forbidden",
    "Identity",
    "IdentityError",
    "IdentityUnavailable",
    "InvalidToken",
    "IssuedToken",
    "Keys",
    "NoSuchCredential",
    "NotFound",
    "NotOffered",
    "Page",
    "PasswordLogin",
    "Project",
    "ProjectScope",
    "Role",
    "RoleRef",
    "Scope",
    "Unauthorized",
    "Unscoped",
    "User",
    "UserRef",
    "bootstrap",
    "create_keys",
    "first_login_kept",
]
