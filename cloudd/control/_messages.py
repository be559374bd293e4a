"""
What the control socket says, version 1.  The server and ``cloudctl`` share these types; JSON is their form on the wire.

Within one version fields are only added, with defaults: both sides ignore fields of answers that they do not know,
so that a ``cloudctl`` of the next release still speaks to the daemon that it is about to upgrade.  Times are seconds
since the epoch, hashes are those of ``reload.CodeTree`` (64 hex digits, empty when there is none).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

API_VERSION = 1

PlanKind = Literal["nothing", "swap", "hand-over", "refused"]
Result = Literal["committed", "unchanged", "refused", "failed", "busy"]
Action = Literal["start", "upgrade", "rollback", "migrate"]
How = Literal["", "swap", "hand-over"]
MAX_CANARY_PERCENT = 90.0  # others are needed to compare with
Percent = Annotated[float, msgspec.Meta(ge=0, le=MAX_CANARY_PERCENT)]
Part = dict[str, str]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all control messages."""


class Actor(Message, frozen=True, kw_only=True):
    """
    Who asks, as the kernel vouches for at the socket.

    ``origin`` is from where, as far as it can be told: the process's name, its terminal, who had logged in there.
    """

    uid: int
    pid: int
    user: str
    origin: str = ""


class GenerationStatus(Message, frozen=True, kw_only=True):
    """
    One generation in one worker.

    ``state`` is ``serving`` (new requests go there), ``loaded`` (prepared, not yet decided), ``canary`` (the same, and
    it answers on a share of the connections) or ``ending`` (old requests are still in it); ``holders`` says what keeps
    one in memory that should be gone.
    """

    number: int
    hash: str
    state: str
    connections: int = 0
    requests_running: int = 0
    requests_total: int = 0
    modules: dict[str, str] = {}
    holders: list[str] = []


class WorkerStatus(Message, frozen=True, kw_only=True):
    """One worker process."""

    name: str
    role: str
    pid: int
    ready: bool
    started_at: float
    restarts: int = 0
    generations: list[GenerationStatus] = []


class Progress(Message, frozen=True, kw_only=True, tag="progress", tag_field="type"):
    """
    One step of an upgrade, a rollback or a move of the control database has begun or went on.

    ``step`` is one of ``STEPS``, or of a move's, or ``return`` where all is handed back under supervision; later
    daemons may have others.  ``text`` is a sentence for people; ``done`` of ``total`` counts within the step.
    """

    step: str
    text: str
    done: int = 0
    total: int = 0
    elapsed_s: float = 0.0


STEPS = ("check", "stage", "prepare", "rehearse", "canary", "commit", "move", "supervise", "clean")
"""Of an upgrade; a move of the control database has ``check``, ``copy``, ``pause`` and ``follow``."""


class Outcome(Message, frozen=True, kw_only=True, tag="outcome", tag_field="type"):
    """
    How an upgrade, a rollback or a move of the control database ended; the last line of its stream.

    ``committed``: the new code serves; ``unchanged``: the tree holds what runs already; ``refused``: not tried, or
    another one is running (``busy``); ``failed``: tried, and everything is as before.  ``warnings`` are for people;
    ``manifest`` says what vouched for the tree that was loaded.  ``canary`` says what the canary saw and by what it was
    judged, empty when there was none; ``rollback_s`` is the time from the observation that ended it to the answer of
    the last worker that the old code alone serves again.

    Of a move of the control database (``migrate``): ``rows`` by table, and writes waited for ``pause_s``.

    ``how`` is ``swap`` or ``hand-over``.  Of a hand-over: ``moved`` connections at once, in batches of which the
    longest stood still for ``pause_s``; ``follow`` says why others move later -> how many.
    """

    action: Action
    result: Result
    cause: str = ""
    old_hash: str = ""
    new_hash: str = ""
    generation: int = 0
    changed: list[str] = []
    warnings: list[str] = []
    duration_s: float = 0.0
    manifest: str = ""
    how: str = ""
    moved: int = 0
    follow: dict[str, int] = {}
    pause_s: float = 0.0
    canary: str = ""
    rollback_s: float = 0.0
    rows: dict[str, int] = {}


class Plan(Message, frozen=True, kw_only=True):
    """
    What an upgrade to a tree would do.

    ``kind``: ``swap`` (the modules in ``swappable`` get a new generation), ``nothing``, ``hand-over`` (new processes
    take over; ``cause`` says why: the modules in ``kernel`` live as long as their process) or ``refused``
    (``cause``: why).
    ``warnings`` are for people: this code was rolled back, or failed before.  ``reason`` says why that way, ``canary``
    how the new code will be tried, ``not_exported`` what connections cannot take along, each with what becomes of it.
    """

    tree: str
    kind: PlanKind
    cause: str = ""
    running_hash: str = ""
    target_hash: str = ""
    generation: int = 0
    swappable: list[str] = []
    kernel: list[str] = []
    manifest: str = ""
    warnings: list[str] = []
    reason: str = ""
    canary: str = ""
    not_exported: list[str] = []


class CodeStatus(Message, frozen=True, kw_only=True):
    """
    Which code the host runs.

    ``previous_hash`` is what a rollback would load; ``previous_warning`` what to know before: it was rolled back.
    """

    start_tree: str
    started_from: str
    hash: str
    previous_hash: str
    generation: int
    since: float
    previous_warning: str = ""


class Status(Message, frozen=True, kw_only=True):
    """
    The whole host at one moment.

    ``leaving`` are workers that have given their connections away in a hand-over and end with the last that follow.
    """

    version: str
    pid: int
    state: str
    started_at: float
    code: CodeStatus
    urls: dict[str, str] = {}
    workers: list[WorkerStatus] = []
    leaving: list[WorkerStatus] = []
    upgrade: Progress | None = None
    api: int = API_VERSION


class Health(Message, frozen=True, kw_only=True):
    """``status`` is ``ok`` or ``failing``; each part has ``status`` and, where it fails, ``cause``."""

    status: str
    parts: dict[str, Part] = {}


class AuditEntry(Message, frozen=True, kw_only=True):
    """Who loaded which code when, or moved the control database (``migrate``), with which result."""

    time: float
    who: Actor
    action: Action
    result: str
    old_hash: str = ""
    new_hash: str = ""
    generation: int = 0
    cause: str = ""
    duration_s: float = 0.0
    manifest: str = ""
    canary: str = ""
    rollback_s: float = 0.0


class Audit(Message, frozen=True, kw_only=True):
    """The latest entries, oldest first; ``more`` when older ones were left out."""

    entries: list[AuditEntry]
    more: bool = False


class TracedRequest(Message, frozen=True, kw_only=True):
    """
    One access line: a request that ended, or with ``moved`` the part of it that ran in one generation of one worker
    before it went on elsewhere.  ``hash`` is the code of its generation, as far as the audit log tells.

    ``time`` is when it ended or left, ISO 8601 in UTC; ``ms`` from the end of its head until then, bytes likewise; a
    ``status`` of 0 says that it was not answered yet.
    """

    time: str
    request_id: str
    face: str
    project_id: str
    method: str
    path: str
    route: str
    status: int
    ms: float
    received_bytes: int
    sent_bytes: int
    generation: int
    peer: str
    worker: str = ""
    moved: bool = False
    hash: str = ""


class SearchedFile(Message, frozen=True, kw_only=True):
    """A log file, how many bytes from its end were searched, and why no more."""

    path: str
    size_bytes: int = 0
    searched_bytes: int = 0
    cause: str = ""


class Trace(Message, frozen=True, kw_only=True):
    """What the logs of this host say of one request id, oldest first; ``more`` when there were too many lines."""

    request_id: str
    requests: list[TracedRequest] = []
    files: list[SearchedFile] = []
    more: bool = False


class TaskFacts(Message, frozen=True, kw_only=True):
    """
    One task: work that outlives its process.

    ``state`` is ``queued``, ``running``, ``done`` or ``failed``; ``cause`` says why it failed, or its last attempt did;
    ``waits_s`` until a queued one may begin, or until the lease of a running one ends; ``attempts`` since it got on.
    ``node`` is the name of the one that can do it; empty: any can.  ``payload``, ``step_state`` and ``result`` are
    there when one task is asked for.
    """

    id: str
    kind: str
    state: str
    created: float
    updated: float
    step: str = ""
    project_id: str = ""
    resource: str = ""
    request_id: str = ""
    node: str = ""
    attempts: int = 0
    progress: int = 0
    total: int = 0
    owner: str = ""
    waits_s: float = 0.0
    cause: str = ""
    cancelled: str = ""
    payload: dict[str, Any] = {}
    step_state: dict[str, Any] = {}
    result: dict[str, Any] = {}


class TaskList(Message, frozen=True, kw_only=True):
    """Tasks, newest first; ``more`` when older ones were left out."""

    tasks: list[TaskFacts]
    more: bool = False


class TaskRequest(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which task shall be cancelled or tried again."""

    id: str


class PurgeRequest(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which container shall be deleted with all its objects; the answer is the task that does it."""

    project_id: str
    container: str


class BackupRequest(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The control state shall be backed up, into the node's folder of backups; the answer is the task that does it."""


class DatabaseStatus(Message, frozen=True, kw_only=True):
    """
    The control database: ``kind`` is ``sqlite`` or ``postgresql``, ``name`` the server's, empty for a file.

    ``round_trip_ms``: of a read of nothing through a worker; ``rows`` by table; ``workers``: name -> where each has it;
    ``standbys`` of a server: name -> bytes that it has not replayed, null where that may not be seen.
    """

    kind: str
    name: str
    version: str
    size_bytes: int
    revision: str
    round_trip_ms: float
    rows: dict[str, int]
    workers: dict[str, str] = {}
    standbys: dict[str, int | None] = {}


class DatabaseMoveRequest(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Move the records of the control database to a server.

    ``password_file`` is an absolute path that the daemon can read; ``check``: only look whether it can be done.
    """

    url: str
    password_file: str = ""
    check: bool = False


class LiveCode(Message, frozen=True, kw_only=True):
    """Which code a node runs, and the change under way, as it says itself."""

    version: str
    started_at: float
    code: CodeStatus
    upgrade: Progress | None = None


class NodeLive(Message, frozen=True, kw_only=True):
    """
    What a node says of itself at this moment, over messaging; ``took_ms`` from the question to its answer.

    One that does not answer has a ``cause`` instead.
    """

    id: str
    name: str
    answers: bool
    cause: str = ""
    took_ms: float = 0.0
    status: LiveCode | None = None
    health: Health | None = None


class NodeLiveList(Message, frozen=True, kw_only=True):
    """Nodes that were asked."""

    nodes: list[NodeLive]


class NodeFacts(Message, frozen=True, kw_only=True):
    """
    One machine of the cloud.

    ``state`` is ``joining``, ``ready``, ``draining``, ``drained``, ``removed`` or ``lost``, since ``state_s`` by
    ``state_by``; ``silent`` when it should have said something by now; ``age_s`` since it last did, none when it never
    did, by the database's clock.  ``certificate`` is when that ends, 0 when it has none; ``own`` is who answers.
    ``live`` is what it says itself, where it was asked.
    """

    id: str
    name: str
    state: str
    roles: list[str] = []
    address: str = ""
    silent: bool = False
    state_s: float = 0.0
    state_by: str = ""
    version: str = ""
    hash: str = ""
    generation: int = 0
    payloads: dict[str, list[int]] = {}
    load: dict[str, Any] = {}
    age_s: float | None = None
    certificate: float = 0.0
    created: float = 0.0
    own: bool = False
    live: NodeLive | None = None


class DutyFacts(Message, frozen=True, kw_only=True):
    """What one node does for all, which (empty: none now), and when another may take it over."""

    name: str
    node: str = ""
    owner: str = ""
    ends_s: float = 0.0


class NodeList(Message, frozen=True, kw_only=True):
    """All nodes by name, removed ones too."""

    nodes: list[NodeFacts]
    duties: list[DutyFacts] = []


class NodeRequest(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which node, by name or id; ``force`` removes one that is at work."""

    node: str
    force: bool = False


class TokenRequest(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For a machine that shall join; no roles: the usual ones."""

    roles: list[str] = []
    valid_s: float = 3_600.0


class NodeToken(Message, frozen=True, kw_only=True):
    """What lets one machine join, once; the other machine asks at ``address``."""

    token: str
    roles: list[str]
    valid_s: float
    address: str


class PlanRequest(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    An empty ``tree`` means the one that the daemon was started from; ``how`` the way that must be taken, empty: any.

    ``canary``: as in ``UpgradeRequest``.
    """

    tree: str = ""
    how: How = ""
    canary: Percent | None = None


class UpgradeRequest(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    ``tree`` and ``how``: as in ``PlanRequest``.

    ``expected_hash``: refuse when the tree is no longer what the plan showed; empty: take what is there.  ``canary``:
    percent of the connections that try the new code first; 0: it is committed at once; left out: as the settings say.
    """

    tree: str = ""
    expected_hash: str = ""
    canary: Percent | None = None
    how: How = ""


class Refusal(Message, frozen=True, kw_only=True):
    """The body of every answer of 400 and above."""

    cause: str
    status: int


def to_json(message: Message) -> bytes:
    """One message as JSON without line breaks."""
    return msgspec.json.encode(message)


def plain(message: Message) -> Any:
    """One message as dicts and lists, for ``json.dumps``."""
    return msgspec.to_builtins(message)
