"""
The settings of one cloudd host, as checked values.

Every field says in its metadata what it means, in which unit and in which range; ``cloudd.daemon.settings`` reads them
from TOML and refuses unknown keys and wrong values, and ``docs/settings.md`` is made from this file.  A field is one
TOML key: ``ListenSettings.api`` is ``api`` in the table ``[listen]``; ``Settings.state`` is ``state`` above all tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import Factory, field, frozen

from .tenant_ranges import PRIVATE

#: In the state folder: what `cloudctl node join` wrote for the daemon, below the operator's own file.
JOINED_SETTINGS = Path("node") / "settings.toml"

#: In the state folder: the id of this node, for good.
NODE_ID = Path("node") / "id"


def setting(
    default: Any,
    meaning: str,
    *,
    unit: str = "",
    reload: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """
    One settings key.

    :param default: the value without a settings file; decides the type in the documentation
    :param meaning: one sentence for the operator
    :param unit: unit or form of the value, for example ``seconds``, ``bytes``, ``endpoint string``
    :param reload: whether a change takes effect on SIGHUP, without a restart
    :param minimum: smallest number allowed
    :param maximum: largest number allowed
    :param choices: the only texts allowed; none: any
    """
    facts = {
        "meaning": meaning,
        "unit": unit,
        "reload": reload,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
    }
    return field(default=default, metadata=facts)


def default_state(environment: Mapping[str, str], user_id: int) -> Path:
    """
    The state folder when nobody names one: ``$CLOUDD_STATE``, for root ``/var/lib/cloudd``, for others below home.

    :param environment: usually ``os.environ``
    :param user_id: effective user id
    """
    named = environment.get("CLOUDD_STATE", "")
    if named:
        return Path(named).absolute()
    if user_id == 0:
        return Path("/var/lib/cloudd")
    data = environment.get("XDG_DATA_HOME", "")
    home = Path(environment.get("HOME", "/"))
    return (Path(data) if data else home / ".local" / "share") / "cloudd"


@frozen(kw_only=True)
class ListenSettings:
    """Where the faces listen: Twisted endpoint strings (tcp, tcp6, ssl, unix); an empty string turns a face off."""

    api: str = setting("tcp:5000:interface=127.0.0.1", "OpenStack APIs, health, metrics", unit="endpoint string")
    object: str = setting("tcp:8080:interface=127.0.0.1", "Swift API", unit="endpoint string")
    s3: str = setting("tcp:9000:interface=127.0.0.1", "S3 API", unit="endpoint string")
    metadata: str = setting(
        "auto",
        "metadata service of this host's servers, where the network brings what they send to 169.254.169.254; the "
        "address need not be there yet; auto: where [network] metadata_address and metadata_port say, if the daemon "
        "is root",
        unit="endpoint string, or auto",
    )
    tls_processes: int = setting(
        1,
        "TLS front processes, where an endpoint is ssl; each has one thread",
        unit="processes",
        minimum=1,
        maximum=64,
    )
    api_url: str = setting("", "URL clients reach the API port by; empty: made from the endpoint", unit="URL")
    object_url: str = setting("", "URL clients reach the object port by; empty: made from the endpoint", unit="URL")
    s3_url: str = setting("", "URL clients reach the S3 port by; empty: made from the endpoint", unit="URL")


@frozen(kw_only=True)
class WorkerSettings:
    """Which processes a host runs."""

    front: int = setting(0, "HTTP worker processes; 0: one per core", unit="processes", minimum=0, maximum=256)
    agent: bool = setting(True, "run the upkeep worker as a process of its own; false: the first front does it")
    threads: int = setting(8, "threads per worker for disk and hashing", unit="threads", minimum=1, maximum=256)
    stop_timeout_s: float = setting(
        30.0,
        "longest wait at shutdown for requests in flight",
        unit="seconds",
        minimum=0,
        maximum=3600,
        reload=True,
    )
    orphan_timeout_s: float = setting(
        600.0,
        "how long workers serve on after their anchor was killed, until a restarted one finds them",
        unit="seconds",
        minimum=0,
        maximum=604_800,
    )


@frozen(kw_only=True)
class HTTPSettings:
    """Limits of the HTTP server; beyond them a client gets 408, 413, 414 or 431."""

    max_line_bytes: int = setting(16_384, "longest request line", unit="bytes", minimum=1024, maximum=1_048_576)
    max_headers: int = setting(128, "most header fields in one request", unit="fields", minimum=16, maximum=10_000)
    max_head_bytes: int = setting(
        65_536, "longest request line and header together", unit="bytes", minimum=4096, maximum=4_194_304
    )
    idle_timeout_s: float = setting(
        75.0, "idle keep-alive connection is closed after", unit="seconds", minimum=1, maximum=86_400
    )
    head_timeout_s: float = setting(
        30.0, "whole request head must arrive within", unit="seconds", minimum=1, maximum=3600
    )
    body_timeout_s: float = setting(
        120.0, "longest silence inside a request body", unit="seconds", minimum=1, maximum=86_400
    )
    write_timeout_s: float = setting(
        120.0, "longest wait for a client that takes no bytes", unit="seconds", minimum=1, maximum=86_400
    )
    max_json_bytes: int = setting(
        1_048_576, "largest JSON or XML document", unit="bytes", minimum=65_536, maximum=67_108_864
    )


@frozen(kw_only=True)
class DatabaseSettings:
    """Where the control database is; the index of objects always lies in the state folder."""

    url: str = setting(
        "",
        "PostgreSQL server, with user and database and without a password; empty: a SQLite file in the state folder",
        unit="URL, postgresql://user@host/name",
    )
    password_file: str = setting(
        "",
        "file with the password, read at each connect; empty: PGPASSWORD and ~/.pgpass are looked at, as by psql",
        unit="path",
    )


@frozen(kw_only=True)
class MessagingSettings:
    """The message broker (RabbitMQ) between the nodes of a cloud: see docs/messaging.md."""

    url: str = setting(
        "",
        "broker, with user and without a password, or several of one cluster with spaces between them; empty: "
        "messages stay inside of this machine",
        unit="URL, amqp://user@host/vhost or amqps://…",
    )
    password_file: str = setting("", "file with the password, read at each connect; empty: it is `guest`", unit="path")
    ca_file: str = setting(
        "", "file with whose certificates a broker of amqps must have; empty: whom the system trusts", unit="path, PEM"
    )
    certificate_file: str = setting(
        "", "file with what this machine shows of itself to a broker of amqps; empty: nothing", unit="path, PEM"
    )
    key_file: str = setting("", "file with the key of that; empty: it is in the same file", unit="path, PEM")


@frozen(kw_only=True)
class IdentitySettings:
    """Tokens and passwords."""

    region: str = setting("RegionOne", "region name in the catalog")
    token_lifetime_s: int = setting(14_400, "lifetime of a token", unit="seconds", minimum=60, maximum=31_536_000)
    revocation_poll_s: float = setting(
        0.4, "how often each worker looks for revocations", unit="seconds", minimum=0.05, maximum=1
    )


@frozen(kw_only=True)
class ObjectSettings:
    """The object store and its two faces."""

    max_object_bytes: int = setting(
        5_368_709_122, "largest object in one PUT", unit="bytes", minimum=1, maximum=1 << 50
    )
    reserve_bytes: int = setting(
        67_108_864, "free space below which writes get 507", unit="bytes", minimum=0, maximum=1 << 60
    )
    tempauth: bool = setting(True, "answer Swift's v1 log-in at /auth/v1.0")
    s3_host: str = setting("", "domain of virtual-host style buckets; empty: path style only", unit="domain")
    purge_delay_s: int = setting(
        3600,
        "how long objects of a deleted project are kept; `cloudctl task cancel` keeps them for longer",
        unit="seconds",
        minimum=0,
        maximum=31_536_000,
    )
    clock_skew_s: int = setting(
        900, "largest clock difference in an S3 signature", unit="seconds", minimum=1, maximum=86_400
    )


@frozen(kw_only=True)
class ImageSettings:
    """The image service."""

    max_bytes: int = setting(1_099_511_627_776, "largest data of one image", unit="bytes", minimum=1, maximum=1 << 50)
    quota_images: int = setting(
        -1, "most images of a project; -1: there is no limit", unit="images", minimum=-1, maximum=1_000_000_000
    )
    quota_bytes: int = setting(
        -1, "most data of a project's images; -1: there is no limit", unit="bytes", minimum=-1, maximum=1 << 60
    )
    web_download_hosts: tuple[str, ...] = setting(
        (),
        "from where images may be imported by web-download; an address that is not public needs an entry of its own, "
        "even where its name has one; none: from nowhere",
        unit="list of NAME, *.DOMAIN, ADDRESS or NETWORK/BITS, each with :PORT where it is not 80 or 443",
    )
    web_download_timeout_s: float = setting(
        3_600.0,
        "longest time of an import with its attempts, from when it begins to run",
        unit="seconds",
        minimum=1,
        maximum=604_800,
    )
    open_imports: int = setting(
        10, "most imports of a project that run or wait at one time", unit="imports", minimum=1, maximum=100_000
    )
    staged_keep_s: int = setting(
        86_400,
        "how long staged data waits for its import before it is given up",
        unit="seconds",
        minimum=60,
        maximum=31_536_000,
    )


@frozen(kw_only=True)
class ComputeSettings:
    """Servers on this host: see docs/servers.md."""

    driver: str = setting(
        "auto",
        "what runs servers here; `auto`: libvirt where it answers, else they are simulated; `none`: nothing does",
        unit="auto, libvirt, simulated or none",
        choices=("auto", "libvirt", "simulated", "none"),
    )
    libvirt_uri: str = setting(
        "",
        "libvirt of this host; empty: the one in STATE/libvirt, which script/server starts, or else qemu:///system",
        unit="URI, qemu+unix:///system?socket=/path",
    )
    accelerator: str = setting(
        "auto",
        "what libvirt's guests run on; `auto`: KVM where a guest that is tried at the start runs with it, else tcg",
        unit="auto, kvm or tcg (emulated)",
        choices=("auto", "kvm", "tcg"),
    )
    folder: str = setting("", "where guests' disks are; empty: guests in the state folder", unit="path")
    zone: str = setting("", "availability zone of this host; empty: nova", unit="name")
    vcpu_ratio: float = setting(
        4.0, "how many vCPUs may be promised for each there is", unit="factor", minimum=0.1, maximum=1000
    )
    memory_ratio: float = setting(
        1.0, "how much memory may be promised, of what there is", unit="factor", minimum=0.1, maximum=100
    )
    disk_ratio: float = setting(
        1.0, "how much disk may be promised, of what there is", unit="factor", minimum=0.1, maximum=100
    )
    shutdown_s: float = setting(
        60.0,
        "how long a guest that was asked to shut down may take until it is ended",
        unit="seconds",
        minimum=0,
        maximum=3600,
    )
    resume_guests: bool = setting(
        False, "start guests again that are off though nobody has stopped their servers, as after a restart of the host"
    )
    image_cache_bytes: int = setting(
        21_474_836_480,
        "room on disk for images that servers were made of; those that a server still uses stay beyond it; 0: any",
        unit="bytes",
        minimum=0,
        maximum=1 << 60,
    )
    image_cache_days: float = setting(
        7.0,
        "age beyond which an image that no server uses any more is removed from there; 0: any",
        unit="days",
        minimum=0,
        maximum=3_650,
    )
    keep_deleted_days: float = setting(
        90.0,
        "age beyond which a deleted server is forgotten in the whole cloud, with its history; 0: never",
        unit="days",
        minimum=0,
        maximum=36_500,
    )


@frozen(kw_only=True)
class EventSettings:
    """The event stream at ``/events``."""

    subscribers: int = setting(
        20_000,
        "open streams in one worker, beyond which clients get 503; at least 1,000 descriptors are left for others",
        unit="streams",
        minimum=0,
        maximum=1_000_000,
    )
    heartbeat_s: float = setting(
        25.0, "how often a stream carries something when nothing happens", unit="seconds", minimum=1, maximum=3600
    )
    keep: int = setting(
        200_000,
        "newest events that can be asked for again, of identity and upgrades and as many of objects",
        unit="events",
        minimum=1000,
        maximum=100_000_000,
    )
    keep_s: int = setting(
        604_800, "age beyond which events are forgotten", unit="seconds", minimum=60, maximum=315_360_000
    )


@frozen(kw_only=True)
class TaskSettings:
    """Work that outlives its process: see docs/tasks.md."""

    parallel: int = setting(16, "most tasks that run on this host at one time", unit="tasks", minimum=1, maximum=256)
    lease_s: float = setting(
        15.0,
        "how long the task of a process that died waits until another one goes on with it",
        unit="seconds",
        minimum=1,
        maximum=3600,
    )
    keep_s: int = setting(
        604_800, "age beyond which tasks that are done are forgotten", unit="seconds", minimum=60, maximum=315_360_000
    )
    keep_failed_s: int = setting(
        2_592_000, "age beyond which tasks that failed are forgotten", unit="seconds", minimum=60, maximum=315_360_000
    )


@frozen(kw_only=True)
class NodeSettings:
    """This machine among those of the cloud: see docs/nodes.md."""

    name: str = setting("", "what this node is called; empty: the host's name", unit="name")
    listen: str = setting(
        "",
        "where other machines join and nodes renew their certificates; empty: nowhere",
        unit="endpoint string, tcp:PORT:interface=ADDRESS",
    )
    address: str = setting(
        "", "where other machines reach that; empty: made from the endpoint", unit="HOST:PORT, IPv6 in brackets"
    )
    health_url: str = setting(
        "",
        "where other nodes ask for this node's /health in a rolling upgrade, not a load balancer's; `messaging`: over "
        "that; empty: the API's URL, or where that is of this machine alone, over messaging",
        unit="URL, http://… or https://… with a certificate that the system trusts",
    )
    heartbeat_s: float = setting(
        5.0, "how often a node says that it is there, on PostgreSQL", unit="seconds", minimum=0.5, maximum=300
    )
    lost_s: float = setting(
        60.0, "age of its last contact from which a node is taken for lost", unit="seconds", minimum=2, maximum=86_400
    )
    lease_s: float = setting(
        15.0,
        "how long a duty that one node does for all waits when that was killed",
        unit="seconds",
        minimum=1,
        maximum=3600,
    )
    certificate_s: int = setting(
        259_200,
        "life of a node's certificate; it is renewed when a third is left",
        unit="seconds",
        minimum=60,
        maximum=7_776_000,
    )


@frozen(kw_only=True)
class SchedulerSettings:
    """Which host gets which server: see docs/scheduling.md."""

    placement: str = setting(
        "spread",
        "spread: the host with the most room; pack: the one with the least that is enough",
        unit="spread or pack",
        choices=("spread", "pack"),
    )
    weights: tuple[str, ...] = setting(
        ("vcpus=1", "memory=1", "disk=1", "group=10"),
        "how much each weigher counts; 0: it is not asked; those that are left out count 1",
        unit="list of NAME=NUMBER",
    )
    filters_off: tuple[str, ...] = setting((), "filters that are not asked", unit="list of names")


@frozen(kw_only=True)
class BackupSettings:
    """Backups of the control state that this node makes by itself: see docs/database.md."""

    every_s: int = setting(0, "how often; 0: only when it is told to", unit="seconds", minimum=0, maximum=31_536_000)
    folder: str = setting("", "where they are kept; empty: backups in the state folder", unit="path")
    keep: int = setting(7, "newest ones that are kept; older ones are deleted", minimum=1, maximum=10_000)


@frozen(kw_only=True)
class NetworkSettings:
    """The network of this host's servers: see docs/networks.md and docs/data-plane.md."""

    tenant_ranges: tuple[str, ...] = setting(
        PRIVATE,
        "what subnets of projects may be of, the same on all nodes; administrators make others; leave out of it what "
        "hosts reach by routers; none: administrators alone make subnets",
        unit="list of NETWORK/BITS",
    )

    data_plane: str = setting(
        "auto",
        "whether ports are plugged here; auto: where the daemon is root, has what it needs, and servers are real",
        unit="auto, on or off",
        choices=("auto", "on", "off"),
    )
    reach_host_networks: bool = setting(
        False,
        "guests may begin to send to the networks that this host is on, such as that of its router, where the host "
        "forwards and their groups allow it; what comes from there they answer in any case",
    )
    metadata_address: str = setting(
        "169.254.169.250",
        "where guests' requests for metadata go, which the host gets as an address of its own on a link of its own",
        unit="IPv4 address that nobody else has",
    )
    metadata_port: int = setting(
        8775, "and the port there; 0: guests get no metadata by HTTP", unit="port", minimum=0, maximum=65_535
    )
    folder: str = setting(
        "",
        "where the files of dnsmasq are, readable for the user that it becomes; empty: /run/cloudd- and a few letters",
        unit="path",
    )


@frozen(kw_only=True)
class LogSettings:
    """Access lines and the daemon's own log."""

    access_file: str = setting("", "access log; empty: log/access.log in the state folder", unit="path")
    access_format: str = setting(
        "text", "form of access lines", unit="text or json", choices=("text", "json"), reload=True
    )


@frozen(kw_only=True)
class UpgradeSettings:
    """What an upgrade may load, and how it is tried."""

    trees: tuple[str, ...] = setting(
        (), "folders an upgrade may load besides the one cloudd started from", unit="paths"
    )
    require_manifest: bool = setting(False, "refuse a tree without a manifest of hashes")
    public_key: str = setting(
        "",
        "refuse a tree whose manifest is not signed with this Ed25519 key; empty: no signature is asked for",
        unit="path of a PEM file, or the key in base64",
    )
    window_s: float = setting(
        10.0,
        "supervision after a hand-over: in this time bad code has everything handed back",
        unit="seconds",
        minimum=0,
        maximum=3600,
    )
    longest_wait_s: float = setting(
        3600.0,
        "longest life of old workers whose last requests have not ended after a hand-over, and of a replaced TLS front",
        unit="seconds",
        minimum=1,
        maximum=604_800,
    )
    canary_percent: float = setting(
        5.0,
        "connections that new code answers on before it is committed; 0: it is committed at once",
        unit="percent",
        minimum=0,
        maximum=90,
    )
    canary_period_s: float = setting(10.0, "longest time of that", unit="seconds", minimum=0.5, maximum=86_400)
    canary_min_requests: int = setting(
        50,
        "with fewer requests to the new code self-checks alone decide",
        unit="requests",
        minimum=1,
        maximum=1_000_000,
    )
    canary_max_requests: int = setting(
        5_000,
        "with so many requests to the new code it ends before its time",
        unit="requests",
        minimum=1,
        maximum=1_000_000_000,
    )


@frozen(kw_only=True)
class Settings:
    """All settings of one host, checked."""

    state: Path
    listen: ListenSettings = Factory(ListenSettings)
    workers: WorkerSettings = Factory(WorkerSettings)
    http: HTTPSettings = Factory(HTTPSettings)
    database: DatabaseSettings = Factory(DatabaseSettings)
    messaging: MessagingSettings = Factory(MessagingSettings)
    identity: IdentitySettings = Factory(IdentitySettings)
    objects: ObjectSettings = Factory(ObjectSettings)
    images: ImageSettings = Factory(ImageSettings)
    compute: ComputeSettings = Factory(ComputeSettings)
    events: EventSettings = Factory(EventSettings)
    tasks: TaskSettings = Factory(TaskSettings)
    nodes: NodeSettings = Factory(NodeSettings)
    scheduler: SchedulerSettings = Factory(SchedulerSettings)
    network: NetworkSettings = Factory(NetworkSettings)
    backup: BackupSettings = Factory(BackupSettings)
    log: LogSettings = Factory(LogSettings)
    upgrade: UpgradeSettings = Factory(UpgradeSettings)
