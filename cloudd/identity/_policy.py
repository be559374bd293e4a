# -*- test-case-name: tests.identity.test_policy -*-
"""
Who may do what, as data: for each action the rules of which one must hold.

A rule is a role and where it must be held; roles imply weaker ones, so ``reader`` is also given to a manager.  What
the rules mean together: an administrator may do everything; a domain's managers run their domain; everybody may see
their own things and keep their own credentials.  Whoever may not know of a thing is answered as if it were not
allowed, whether the thing exists or not.
"""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from ._errors import Forbidden
from ._values import Access


class Where(Enum):
    """How the caller and the target of an action must be related."""

    ANYWHERE = "anywhere"
    DOMAIN = "the token is scoped to the target's domain"
    PROJECT = "the token is scoped to the target project"
    HOME = "the token's project is in the target domain"
    SELF = "the target is or belongs to the caller"


@frozen
class Rule:
    """
    ``role`` is needed (empty: none) in a place.

    :ivar unrestricted: not with a restricted application credential
    :ivar in_person: not with an application credential at all
    """

    role: str
    where: Where
    unrestricted: bool = False
    in_person: bool = False


@frozen(kw_only=True)
class Target:
    """What an action is about, as far as it is known."""

    user_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None


ADMIN = Rule("admin", Where.ANYWHERE)
DOMAIN_MANAGER = Rule("manager", Where.DOMAIN)
DOMAIN_READER = Rule("reader", Where.DOMAIN)
OWNER = Rule("", Where.SELF)
KEY_OWNER = Rule("", Where.SELF, unrestricted=True)
# An EC2 key has all roles of its user: a credential for some of them must neither make nor read one (CVE-2020-12689).
SECRET_OWNER = Rule("", Where.SELF, unrestricted=True, in_person=True)
EVERYBODY = Rule("", Where.ANYWHERE)

RULES: dict[str, tuple[Rule, ...]] = {
    "get_domain": (ADMIN, DOMAIN_READER, Rule("reader", Where.HOME)),
    "list_domains": (ADMIN, DOMAIN_READER),
    "create_domain": (ADMIN,),
    "update_domain": (ADMIN,),
    "delete_domain": (ADMIN,),
    "get_project": (ADMIN, DOMAIN_READER, Rule("reader", Where.PROJECT)),
    "list_projects": (ADMIN, DOMAIN_READER),
    "create_project": (ADMIN, DOMAIN_MANAGER),
    "update_project": (ADMIN, DOMAIN_MANAGER),
    "delete_project": (ADMIN, DOMAIN_MANAGER),
    "get_user": (ADMIN, DOMAIN_READER, OWNER),
    "list_users": (ADMIN, DOMAIN_READER),
    "create_user": (ADMIN, DOMAIN_MANAGER),
    "update_user": (ADMIN, DOMAIN_MANAGER),
    "delete_user": (ADMIN, DOMAIN_MANAGER),
    "change_password": (OWNER,),
    "get_role": (EVERYBODY,),
    "list_roles": (EVERYBODY,),
    "create_role": (ADMIN,),
    "update_role": (ADMIN,),
    "delete_role": (ADMIN,),
    "create_grant": (ADMIN, DOMAIN_MANAGER),
    "revoke_grant": (ADMIN, DOMAIN_MANAGER),
    "check_grant": (ADMIN, DOMAIN_READER, OWNER),
    "list_grants": (ADMIN, DOMAIN_READER, OWNER),
    "list_role_assignments": (ADMIN, DOMAIN_READER, OWNER),
    "validate_token": (ADMIN, Rule("service", Where.ANYWHERE), OWNER),
    "revoke_token": (ADMIN, OWNER),
    "create_application_credential": (KEY_OWNER,),
    "get_application_credential": (ADMIN, OWNER),
    "list_application_credentials": (ADMIN, OWNER),
    "delete_application_credential": (ADMIN, KEY_OWNER),
    "create_ec2_credential": (ADMIN, SECRET_OWNER),
    "get_ec2_credential": (ADMIN, SECRET_OWNER),
    "list_ec2_credentials": (ADMIN, SECRET_OWNER),
    "delete_ec2_credential": (ADMIN, KEY_OWNER),
}


def allows(access: Access, action: str, target: Target) -> bool:
    """Whether one of the action's rules holds."""
    for rule in RULES[action]:  # noqa: SIM110 - a third of the price of any()
        if _holds(access, rule, target):
            return True
    return False


def enforce(access: Access, action: str, target: Target) -> None:
    """
    :raises Forbidden: none of the action's rules holds
    """
    if not allows(access, action, target):
        raise Forbidden(action)


def _holds(access: Access, rule: Rule, target: Target) -> bool:
    if (rule.role and rule.role not in access.role_names) or (rule.unrestricted and not access.unrestricted):
        return False
    if rule.in_person and access.application_credential_id is not None:
        return False
    # Comparisons, not a table: this is asked for every token that is validated.
    where = rule.where
    if where is Where.ANYWHERE:
        return True
    if where is Where.SELF:
        return access.user_id == target.user_id
    if where is Where.PROJECT:
        return access.project_id is not None and access.project_id == target.project_id
    mine = access.domain_id if where is Where.DOMAIN else access.project_domain_id
    return mine is not None and mine == target.domain_id
