# -*- test-case-name: tests.protocols.rest.identity.test_credentials -*-
"""
Application credentials and EC2 credentials: what programs log in with instead of a password.

Source: Identity API v3, "Application Credentials" and "OS-EC2 API".
"""

from __future__ import annotations

from typing import Any

from cloudd.identity import ApplicationCredential, Ec2Credential, Identity

from .._face import Call
from .._faults import bad_request, not_implemented
from .._query import Links
from .._routes import Answer, route
from .._times import naive
from ._schemas import GivenRole, NewApplicationCredential, NewApplicationCredentialDocument, NewEC2Credential
from ._shown import list_answer, page_answer
from ._values import exact_filters, expiry, given

_OPEN = "/v3/users/{user_id}/application_credentials"
_EC2 = "/v3/users/{user_id}/credentials/OS-EC2"


class CredentialRoutes:
    """Below ``/v3/users/{user_id}``."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    @route("GET", _OPEN)
    async def list_application(self, call: Call, user_id: str) -> Answer:
        """Filter: ``name``; never with secrets."""
        page = await self._identity.application_credentials.list(
            call.access, user_id, **exact_filters(call.query, ("name",))
        )
        steps = ("v3", "users", user_id, "application_credentials")
        return page_answer(call, "application_credentials", steps, page, show_application_credential)

    @route("POST", _OPEN)
    async def create_application(self, call: Call, user_id: str) -> Answer:
        """201 with the secret, which no other answer has."""
        wanted = (await call.read(NewApplicationCredentialDocument)).application_credential
        credential = await self._identity.application_credentials.create(
            call.access, user_id, _application_values(wanted)
        )
        shown = show_application_credential(credential, call.links) | {"secret": credential.secret}
        return Answer(201, {"application_credential": shown})

    @route("GET", _OPEN + "/{credential_id}")
    async def show_application(self, call: Call, user_id: str, credential_id: str) -> Answer:
        """One, without the secret."""
        credential = await self._identity.application_credentials.get(call.access, user_id, credential_id)
        return Answer(200, {"application_credential": show_application_credential(credential, call.links)})

    @route("DELETE", _OPEN + "/{credential_id}")
    async def delete_application(self, call: Call, user_id: str, credential_id: str) -> Answer:
        """204; tokens got with it are refused from then on."""
        await self._identity.application_credentials.delete(call.access, user_id, credential_id)
        return Answer(204)

    @route("GET", "/v3/users/{user_id}/access_rules")
    async def access_rules(self, call: Call, user_id: str) -> Answer:
        """No credential has rules."""
        await self._identity.application_credentials.list(call.access, user_id, limit=1)
        links = call.links.of_list(call.query, None, "v3", "users", user_id, "access_rules")
        return Answer(200, {"access_rules": [], "links": links})

    @route("GET", _EC2)
    async def list_ec2(self, call: Call, user_id: str) -> Answer:
        """With secrets, as the API has it: they sign, so their owner must be able to read them."""
        page = await self._identity.ec2_credentials.list(call.access, user_id)
        steps = ("v3", "users", user_id, "credentials", "OS-EC2")
        return list_answer(call, "credentials", steps, page.items, show_ec2, lambda one: one.access)

    @route("POST", _EC2)
    async def create_ec2(self, call: Call, user_id: str) -> Answer:
        """201 with the new key and its secret."""
        wanted = await call.read(NewEC2Credential)
        credential = await self._identity.ec2_credentials.create(call.access, user_id, wanted.tenant_id)
        return Answer(201, {"credential": show_ec2(credential, call.links)})

    @route("GET", _EC2 + "/{access_key}")
    async def show_one_ec2(self, call: Call, user_id: str, access_key: str) -> Answer:
        """One, with its secret."""
        credential = await self._identity.ec2_credentials.get(call.access, user_id, access_key)
        return Answer(200, {"credential": show_ec2(credential, call.links)})

    @route("DELETE", _EC2 + "/{access_key}")
    async def delete_ec2(self, call: Call, user_id: str, access_key: str) -> Answer:
        """204; signatures with it are refused from a second later on."""
        await self._identity.ec2_credentials.delete(call.access, user_id, access_key)
        return Answer(204)


def show_application_credential(one: ApplicationCredential, links: Links) -> dict[str, Any]:
    """One application credential, without its secret."""
    return {
        "id": one.id,
        "name": one.name,
        "description": one.description or None,
        "project_id": one.project_id,
        "user_id": one.user_id,
        "roles": [{"id": role.id, "name": role.name, "domain_id": None} for role in one.roles],
        "expires_at": None if one.expires_at is None else naive(one.expires_at),
        "unrestricted": one.unrestricted,
        "system": None,
        "links": links.own("v3", "users", one.user_id, "application_credentials", one.id),
    }


def show_ec2(one: Ec2Credential, links: Links) -> dict[str, Any]:
    """One EC2 credential."""
    return {
        "access": one.access,
        "secret": one.secret,
        "tenant_id": one.project_id,
        "user_id": one.user_id,
        "trust_id": None,
        "links": links.own("v3", "users", one.user_id, "credentials", "OS-EC2", one.access),
    }


def _application_values(wanted: NewApplicationCredential) -> dict[str, Any]:
    if wanted.access_rules:
        raise not_implemented("Access rules of an application credential")
    return given(
        {
            "name": wanted.name,
            "description": wanted.description,
            "secret": wanted.secret,
            "expires_at": expiry(wanted.expires_at),
            "unrestricted": wanted.unrestricted,
            "roles": _role_references(wanted.roles) or None,
        }
    )


def _role_references(roles: list[GivenRole] | None) -> list[dict[str, str]]:
    references = []
    for number, role in enumerate(roles or ()):
        if role.id is not None:
            references.append({"id": role.id})
        elif role.name is not None:
            references.append({"name": role.name})
        else:
            raise bad_request(f"application_credential.roles[{number}]: give id or name.")
    return references
