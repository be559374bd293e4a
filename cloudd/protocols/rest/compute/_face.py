# -*- test-case-name: tests.protocols.rest.compute.test_versions -*-
"""Putting the routes of the Compute API together, each call with its microversion."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from attrs import evolve
from twisted.python.failure import Failure

from cloudd.compute import ServerPasswords
from cloudd.identity import Identity
from cloudd.image import Images
from cloudd.interfaces.application import Resources
from cloudd.protocols.http import Handler, Header, Request

from .._api_versions import Served, all_of_ours
from .._face import Call, FaceFacts, RestFace
from .._faults import Fault
from .._projects import Projects
from .._routes import Answer, Declared, RouteMethod
from ._absent import ABSENT
from ._aggregates import AggregateRoutes
from ._call import ComputeCall
from ._diagnostics import DiagnosticRoutes
from ._discovery import DiscoveryRoutes, newest_shown
from ._external_events import ExternalEventRoutes
from ._faults import compute_error_body, compute_fault
from ._flavor_access import FlavorAccessRoutes
from ._flavors import FlavorRoutes
from ._floating_ips import FloatingIPRoutes
from ._groups import GroupRoutes
from ._history import HistoryRoutes
from ._hosts import HostRoutes
from ._hypervisors import HypervisorRoutes
from ._image_metadata import ImageMetadataRoutes
from ._images import ImageRoutes
from ._interfaces import InterfaceRoutes
from ._keypairs import KeypairRoutes
from ._limits import LimitRoutes
from ._machines import MachineRoutes
from ._migrations import MigrationRoutes
from ._networks import NetworkRoutes
from ._quotas import QuotaRoutes
from ._removed import RemovedRoutes
from ._security_groups import SecurityGroupRoutes
from ._security_rules import SecurityRuleRoutes
from ._server_actions import ActionRoutes
from ._server_metadata import MetadataRoutes
from ._server_networks import ServerNetworkRoutes
from ._server_password import PasswordRoutes
from ._server_tags import ServerTagRoutes
from ._servers import ServerRoutes
from ._specs import SpecRoutes
from ._usage import UsageRoutes
from ._usage_audit import UsageAuditRoutes
from ._versions import VARY, VERSION_FIELDS, negotiate, version_headers

PREFIX = "/compute"
_OLD, _NEW = b"/compute/v2/", b"/compute/v2.1/"
SUBJECTS = (
    DiscoveryRoutes,
    FlavorRoutes,
    SpecRoutes,
    FlavorAccessRoutes,
    KeypairRoutes,
    GroupRoutes,
    QuotaRoutes,
    LimitRoutes,
    UsageRoutes,
    HostRoutes,
    AggregateRoutes,
    ServerRoutes,
    MetadataRoutes,
    ServerTagRoutes,
    ServerNetworkRoutes,
    HypervisorRoutes,
    ActionRoutes,
    InterfaceRoutes,
    HistoryRoutes,
    DiagnosticRoutes,
    PasswordRoutes,
    MigrationRoutes,
    MachineRoutes,
    UsageAuditRoutes,
    ExternalEventRoutes,
    RemovedRoutes,
    ImageRoutes,
    ImageMetadataRoutes,
    SecurityGroupRoutes,
    SecurityRuleRoutes,
    NetworkRoutes,
    FloatingIPRoutes,
)


def compute_face(
    identity: Identity,
    resources: Resources,
    images: Images,
    served: Served = all_of_ours,
    poke: Callable[[], None] = lambda: None,
) -> Handler:
    """
    :param images: of the same application, for those that are looked at and deleted here
    :param served: which versions are shown
    :param poke: tasks were ordered in this worker: let them begin now
    :return: the handler of everything at and below ``/compute``
    """
    facts = FaceFacts(
        prefix=PREFIX,
        base=resources.urls["api"] + PREFIX,
        keystone=f"{resources.urls['api']}/identity/v3",
        max_json_bytes=resources.settings.http.max_json_bytes,
        fault_body=compute_error_body,
        service_fault=compute_fault,
    )
    database, projects = resources.database, Projects(identity)
    passwords = ServerPasswords(resources.secrets, resources.threads)
    subjects = [
        DiscoveryRoutes(served), FlavorRoutes(database), SpecRoutes(database), FlavorAccessRoutes(database, projects),
        KeypairRoutes(database, resources.threads), GroupRoutes(database), QuotaRoutes(database, projects),
        ServerRoutes(database, passwords, poke), MetadataRoutes(database),
        ServerTagRoutes(database), ServerNetworkRoutes(database),
        LimitRoutes(database), UsageRoutes(database), HostRoutes(database),
        AggregateRoutes(database), HypervisorRoutes(database),
        ActionRoutes(resources, passwords, poke), InterfaceRoutes(database, poke), HistoryRoutes(database),
        DiagnosticRoutes(database),
        PasswordRoutes(database), MigrationRoutes(database), MachineRoutes(database), UsageAuditRoutes(database),
        ExternalEventRoutes(database), RemovedRoutes(),
        ImageRoutes(images, f"{resources.urls['api']}/image/v2"), ImageMetadataRoutes(database, images),
        SecurityGroupRoutes(database), SecurityRuleRoutes(database), NetworkRoutes(database), FloatingIPRoutes(),
    ]  # fmt: skip
    return ComputeFace(facts, identity, subjects, served)


class ComputeFace(RestFace):
    """A ``RestFace`` whose calls know their version, and whose answers tell it."""

    def __init__(self, facts: FaceFacts, identity: Identity, subjects: Iterable[object], served: Served) -> None:
        """
        :param served: which versions are shown
        """
        self._served = served
        super().__init__(facts, identity, subjects, ABSENT)

    async def _answer(
        self, request: Request, declared: Declared, method: RouteMethod, parameters: Mapping[str, str]
    ) -> None:
        async def in_version(call: Call, **parameters: Any) -> Answer:
            version = negotiate(request, newest_shown(self._served))
            _check_path(request, declared)
            access = call.access if declared.token else None
            asked = ComputeCall(request, call.query, call.links, call.max_json_bytes, access, version)
            answer = await method(asked, **parameters)
            return evolve(answer, headers=(*answer.headers, *version_headers(version), _id_of(request)))

        await super()._answer(request, declared, in_version, parameters)

    def __call__(self, request: Request) -> Coroutine[Any, Any, None] | None:
        """Answer ``request``; what is below ``/v2`` is the same as below ``/v2.1``, in its oldest version."""
        if request.path.startswith(_OLD):
            request.path = _NEW + request.path[len(_OLD) :] if len(request.path) > len(_OLD) else _OLD.rstrip(b"/")
            request.fields = {name: value for name, value in request.fields.items() if name not in VERSION_FIELDS}
        return super().__call__(request)

    def not_routed(self, request: Any, failure: Failure) -> None:
        """An empty id is not a method that lists do not have."""
        if request.path.endswith(b"/"):
            self.refuse(request, _no_id())
        else:
            super().not_routed(request, failure)

    def refuse(self, request: Request, fault: Fault) -> None:
        """Answer with ``fault``, which tells the version, too, where it is one."""
        try:
            headers = version_headers(negotiate(request, newest_shown(self._served)))
        except Fault:
            headers = (VARY,)
        more = (*fault.headers, *headers, _id_of(request))
        super().refuse(request, Fault(fault.status, fault.message, headers=more))


def _check_path(request: Request, declared: Declared) -> None:
    """
    :raises Fault: 404: an id is empty, which would be read as the list
    """
    if declared.token and request.path.endswith(b"/"):
        raise _no_id()


def _no_id() -> Fault:
    return Fault(404, "The resource could not be found: the path ends with a slash.")


def _id_of(request: Request) -> Header:
    """The request's id by the name that only Nova has for it; the common one is there in any case."""
    return b"X-Compute-Request-Id", request.id.encode("latin-1")
