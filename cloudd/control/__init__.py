"""
Controlling a running cloudd: the messages, and what they ask for.

``cloudd.protocols.control`` serves them on ``STATE/control.sock``, ``cloudd.cli`` (``cloudctl``) speaks to it, and the
daemon's anchor provides ``IControlled``::

    status = msgspec.json.decode(body, type=Status)
    for line in stream:
        event = msgspec.json.decode(line, type=Progress | Outcome)

Version 1 of the API, all below ``/v1``: ``GET status``, ``GET health``, ``GET audit?limit=N``,
``GET trace?request_id=ID``, ``GET tasks`` (a ``TaskList``), ``GET task?id=ID``, ``POST task/cancel``, ``task/retry``
(``TaskRequest``), ``objects/purge`` (``PurgeRequest``) and ``backup`` (``BackupRequest``) give ``TaskFacts``;
``GET database`` gives a ``DatabaseStatus``, ``POST database/move`` (``DatabaseMoveRequest``) streams as an upgrade;
``GET nodes`` (a ``NodeList``), ``GET nodes/live?node=NAME`` (a ``NodeLiveList``), ``GET node?node=NAME``,
``POST node/drain``, ``node/return`` and ``node/remove``
(``NodeRequest``) give ``NodeFacts``, ``POST node/token`` (``TokenRequest``) a ``NodeToken``;
``POST schedule`` (``ScheduleRequest``) gives a ``Schedule`` and changes nothing;
``POST plan`` with a ``PlanRequest`` gives a ``Plan``; ``POST upgrade``
(``UpgradeRequest``) and ``POST rollback`` stream ``Progress`` lines and end with an ``Outcome``.
"""

from cloudd.interfaces.settings import default_state
from reload import TreeError

from ._actors import actor_of, own_actor
from ._code import BOUNDARIES, MANIFEST_NAME, manifest_places, write_manifest, write_proof
from ._interfaces import IControlled, IDatabaseMoves, IUpgrades, Listener
from ._limits import limit_in
from ._messages import (
    API_VERSION,
    MAX_CANARY_PERCENT,
    STEPS,
    Action,
    Actor,
    Audit,
    AuditEntry,
    BackupRequest,
    CodeStatus,
    DatabaseMoveRequest,
    DatabaseStatus,
    DutyFacts,
    GenerationStatus,
    Health,
    How,
    LiveCode,
    Message,
    NodeFacts,
    NodeList,
    NodeLive,
    NodeLiveList,
    NodeRequest,
    NodeToken,
    Outcome,
    Percent,
    Plan,
    PlanRequest,
    Progress,
    PurgeRequest,
    Refusal,
    Result,
    SearchedFile,
    Status,
    TaskFacts,
    TaskList,
    TaskRequest,
    TokenRequest,
    Trace,
    TracedRequest,
    UpgradeRequest,
    WorkerStatus,
    plain,
    to_json,
)
from ._rolling import (
    Finality,
    FinalizeRequest,
    Release,
    RollbackRequest,
    RollingNode,
    RollingNodePlan,
    RollingPlan,
    RollingRequest,
    RollingStatus,
)
from ._schedule import Schedule, ScheduleHost, ScheduleNeed, ScheduleRequest
from ._signature import (
    SIGNATURE_NAME,
    SignatureError,
    is_public_key,
    make_key,
    public_key_in,
    read_private_key,
    sign_manifest,
    verify_signature,
)

SOCKET_NAME = "control.sock"

__all__ = [
    "API_VERSION",
    "BOUNDARIES",
    "MANIFEST_NAME",
    "MAX_CANARY_PERCENT",
    "SIGNATURE_NAME",
    "SOCKET_NAME",
    "STEPS",
    "Action",
    "Actor",
    "Audit",
    "AuditEntry",
    "BackupRequest",
    "CodeStatus",
    "DatabaseMoveRequest",
    "DatabaseStatus",
    "DutyFacts",
    "Finality",
    "FinalizeRequest",
    "GenerationStatus",
    "Health",
    "How",
    "IControlled",
    "IDatabaseMoves",
    "IUpgrades",
    "Listener",
    "LiveCode",
    "Message",
    "NodeFacts",
    "NodeList",
    "NodeLive",
    "NodeLiveList",
    "NodeRequest",
    "NodeToken",
    "Outcome",
    "Percent",
    "Plan",
    "PlanRequest",
    "Progress",
    "PurgeRequest",
    "Refusal",
    "Release",
    "Result",
    "RollbackRequest",
    "RollingNode",
    "RollingNodePlan",
    "RollingPlan",
    "RollingRequest",
    "RollingStatus",
    "Schedule",
    "ScheduleHost",
    "ScheduleNeed",
    "ScheduleRequest",
    "SearchedFile",
    "SignatureError",
    "Status",
    "TaskFacts",
    "TaskList",
    "TaskRequest",
    "TokenRequest",
    "Trace",
    "TracedRequest",
    "TreeError",
    "UpgradeRequest",
    "WorkerStatus",
    "actor_of",
    "default_state",
    "is_public_key",
    "limit_in",
    "make_key",
    "manifest_places",
    "own_actor",
    "plain",
    "public_key_in",
    "read_private_key",
    "sign_manifest",
    "to_json",
    "verify_signature",
    "write_manifest",
    "write_proof",
]
