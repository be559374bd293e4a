# -*- test-case-name: tests.protocols.rest.network -*-
"""Putting the routes of Network API v2.0 together."""

from __future__ import annotations

import time

from cloudd.identity import Identity
from cloudd.interfaces.application import Resources
from cloudd.interfaces.tenant_ranges import read_ranges
from cloudd.protocols.http import Handler

from .._face import FaceFacts, RestFace
from .._projects import Projects
from ._absent import ABSENT
from ._agents import AgentRoutes, Nodes
from ._discovery import DiscoveryRoutes
from ._faults import network_error_body, network_fault
from ._groups import GroupRoutes, RuleRoutes
from ._quotas import QuotaRoutes
from ._records import NetworkRoutes, PortRoutes, SubnetRoutes
from ._tags import TagRoutes

PREFIX = "/network"
SUBJECTS = (
    NetworkRoutes, SubnetRoutes, PortRoutes, GroupRoutes, RuleRoutes, TagRoutes, QuotaRoutes, AgentRoutes,
    DiscoveryRoutes,
)  # fmt: skip


def network_face(identity: Identity, resources: Resources, nodes: Nodes) -> Handler:
    """
    :param nodes: all of the cloud, for administrators
    :return: the handler of everything at and below ``/network``
    """
    facts = FaceFacts(
        prefix=PREFIX,
        base=resources.urls["api"] + PREFIX,
        keystone=f"{resources.urls['api']}/identity/v3",
        max_json_bytes=resources.settings.http.max_json_bytes,
        fault_body=network_error_body,
        service_fault=network_fault,
    )
    database = resources.database
    ranges = read_ranges(resources.settings.network.tenant_ranges)
    subjects = [
        NetworkRoutes(database), SubnetRoutes(database, ranges), PortRoutes(database), GroupRoutes(database),
        RuleRoutes(database), TagRoutes(database), QuotaRoutes(database, Projects(identity)),
        AgentRoutes(nodes, time.time), DiscoveryRoutes(),
    ]  # fmt: skip
    return RestFace(facts, identity, subjects, ABSENT)
