# -*- test-case-name: tests.protocols.rest.identity.test_tokens -*-
"""
From the body of ``POST /v3/auth/tokens`` to an ``AuthRequest``: what may stand together, and what is not offered.

Whether the log-in is right is for the identity service to say; here only its form is checked.
"""

from __future__ import annotations

from cloudd.identity import (
    ApplicationCredentialLogin,
    AuthRequest,
    DomainScope,
    PasswordLogin,
    ProjectScope,
    Scope,
    Unscoped,
    UserRef,
)

from .._faults import Fault, bad_request, not_implemented
from ._schemas import (
    ApplicationCredentialMethod,
    Auth,
    AuthIdentity,
    AuthScope,
    DomainRef,
    PasswordMethod,
    UserName,
)

_OFFERED = ("password", "token", "application_credential")


def auth_request(auth: Auth) -> AuthRequest:
    """
    :raises Fault: 400 for parts that do not fit together, 401 for a method that cloudd has not, 501 for a scope
        that it has not
    """
    identity = auth.identity
    for method in identity.methods:
        _check_method(identity, method)
    methods = tuple(dict.fromkeys(identity.methods))
    return AuthRequest(
        methods=methods,
        password=_password(identity.password) if "password" in methods else None,
        token=identity.token.id if identity.token and "token" in methods else None,
        application_credential=(
            _application_credential(identity.application_credential) if "application_credential" in methods else None
        ),
        scope=_scope(auth.scope),
    )


def _check_method(identity: AuthIdentity, method: str) -> None:
    if method not in _OFFERED:
        raise Fault(401, f"The authentication method {method[:64]!r} is not offered; offered: {', '.join(_OFFERED)}.")
    if getattr(identity, method) is None:
        raise bad_request(f"auth.identity.{method} is missing; auth.identity.methods names it.")


def _password(method: PasswordMethod | None) -> PasswordLogin:
    assert method is not None
    return PasswordLogin(user=_user(method.user, "auth.identity.password.user"), password=method.user.password)


def _application_credential(method: ApplicationCredentialMethod | None) -> ApplicationCredentialLogin:
    assert method is not None
    place = "auth.identity.application_credential"
    if method.id is not None:
        return ApplicationCredentialLogin(id=method.id, secret=method.secret)
    if method.name is None:
        raise bad_request(f"{place}: give id, or name and user.")
    if method.user is None:
        raise bad_request(f"{place}.user is missing; a name alone does not say whose credential it is.")
    user = _user(method.user, f"{place}.user")
    return ApplicationCredentialLogin(name=method.name, user=user, secret=method.secret)


def _user(user: UserName, place: str) -> UserRef:
    if user.id is not None:
        return UserRef(id=user.id)
    if user.name is None:
        raise bad_request(f"{place}: give id, or name and domain.")
    domain = _domain(user.domain, f"{place}.domain")
    return UserRef(name=user.name, domain_id=domain.id, domain_name=domain.name)


def _domain(domain: DomainRef | None, place: str) -> DomainRef:
    if domain is None:
        raise bad_request(f"{place} is missing; a name alone is not unique among domains.")
    if domain.id is None and domain.name is None:
        raise bad_request(f"{place}: give id or name.")
    return domain


def _scope(scope: AuthScope | str | None) -> Scope | None:
    if scope is None:
        return None
    if isinstance(scope, str):
        if scope != "unscoped":
            raise bad_request('auth.scope: expected an object or "unscoped".')
        return Unscoped()
    given = [name for name in scope.__struct_fields__ if getattr(scope, name) is not None]
    if len(given) != 1:
        raise bad_request("auth.scope: give exactly one of project, domain or unscoped.")
    if scope.system is not None:
        raise not_implemented("System scope")
    if scope.trust is not None:
        raise not_implemented("Trust scope")
    if scope.domain is not None:
        domain = _domain(scope.domain, "auth.scope.domain")
        return DomainScope(id=domain.id, name=None if domain.id else domain.name)
    return _project_scope(scope) if scope.project is not None else Unscoped()


def _project_scope(scope: AuthScope) -> ProjectScope:
    project = scope.project
    assert project is not None
    if project.id is not None:
        return ProjectScope(id=project.id)
    if project.name is None:
        raise bad_request("auth.scope.project: give id, or name and domain.")
    domain = _domain(project.domain, "auth.scope.project.domain")
    return ProjectScope(name=project.name, domain_id=domain.id, domain_name=domain.name)
