"""
The settings of one cloudd host, as checked values.

Every field says in its metadata what it means and in which unit; ``cloudd.daemon.settings`` reads them from TOML,
refuses unknown keys and wrong types, and ``docs/settings.md`` is made from this file.  A field is one TOML key:
``ListenSettings.api`` is ``api`` in the table ``[listen]``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import Factory, field, frozen


def setting(default: Any, meaning: str, *, unit: str = "", reload: bool = False) -> Any:
    """
    One settings key.

    :param default: the value without a settings file; decides the type in the documentation
    :param meaning: one sentence for the operator
    :param unit: unit or form of the value, for example ``seconds``, ``bytes``, ``endpoint string``
    :param reload: whether a change takes effect without a restart
    """
    return field(default=default, metadata={"meaning": meaning, "unit": unit, "reload": reload})


@frozen(kw_only=True)
class ListenSettings:
    """Where the faces listen: Twisted endpoint strings; an empty string turns a face off."""

    api: str = setting("tcp:5000:interface=127.0.0.1", "OpenStack APIs, health, metrics", unit="endpoint string")
    object: str = setting("tcp:8080:interface=127.0.0.1", "Swift API", unit="endpoint string")
    s3: str = setting("tcp:9000:interface=127.0.0.1", "S3 API", unit="endpoint string")
    api_url: str = setting("", "URL clients reach the API port by; empty: made from the endpoint", unit="URL")
    object_url: str = setting("", "URL clients reach the object port by", unit="URL")
    s3_url: str = setting("", "URL clients reach the S3 port by", unit="URL")


@frozen(kw_only=True)
class WorkerSettings:
    """Which processes a host runs."""

    front: int = setting(0, "HTTP worker processes; 0: one per core", unit="processes")
    agent: bool = setting(True, "run the upkeep worker as a process of its own; false: the first front does it")
    threads: int = setting(8, "threads per worker for disk and hashing", unit="threads")
    stop_timeout_s: float = setting(30.0, "longest wait at shutdown for requests in flight", unit="seconds")


@frozen(kw_only=True)
class HTTPSettings:
    """Limits of the HTTP server; beyond them a client gets 408, 413, 414 or 431."""

    max_line_bytes: int = setting(16_384, "longest request line", unit="bytes")
    max_headers: int = setting(128, "most header fields in one request", unit="fields")
    max_head_bytes: int = setting(65_536, "longest request line and header together", unit="bytes")
    idle_timeout_s: float = setting(75.0, "idle keep-alive connection is closed after", unit="seconds")
    head_timeout_s: float = setting(30.0, "whole request head must arrive within", unit="seconds")
    body_timeout_s: float = setting(120.0, "longest silence inside a request body", unit="seconds")
    max_json_bytes: int = setting(1_048_576, "largest JSON or XML document", unit="bytes")


@frozen(kw_only=True)
class IdentitySettings:
    """Tokens and passwords."""

    region: str = setting("RegionOne", "region name in the catalog")
    token_lifetime_s: int = setting(14_400, "lifetime of a token", unit="seconds")
    revocation_poll_s: float = setting(0.4, "how often each worker looks for revocations", unit="seconds")


@frozen(kw_only=True)
class ObjectSettings:
    """The object store and its two faces."""

    max_object_bytes: int = setting(5_368_709_122, "largest object in one PUT", unit="bytes")
    reserve_bytes: int = setting(67_108_864, "free space below which writes get 507", unit="bytes")
    tempauth: bool = setting(True, "answer Swift's v1 log-in at /auth/v1.0")
    s3_host: str = setting("", "domain of virtual-host style buckets; empty: path style only", unit="domain")
    clock_skew_s: int = setting(900, "largest clock difference in an S3 signature", unit="seconds")


@frozen(kw_only=True)
class LogSettings:
    """Access lines and the daemon's own log."""

    access_file: str = setting("", "access log; empty: log/access.log in the state folder", unit="path")
    access_format: str = setting("text", "form of access lines", unit="text or json")


@frozen(kw_only=True)
class UpgradeSettings:
    """What an upgrade may load."""

    trees: tuple[str, ...] = setting(
        (), "folders an upgrade may load besides the one cloudd started from", unit="paths"
    )
    require_manifest: bool = setting(False, "refuse a tree without a manifest of hashes")


@frozen(kw_only=True)
class Settings:
    """All settings of one host, checked."""

    state: Path
    listen: ListenSettings = Factory(ListenSettings)
    workers: WorkerSettings = Factory(WorkerSettings)
    http: HTTPSettings = Factory(HTTPSettings)
    identity: IdentitySettings = Factory(IdentitySettings)
    objects: ObjectSettings = Factory(ObjectSettings)
    log: LogSettings = Factory(LogSettings)
    upgrade: UpgradeSettings = Factory(UpgradeSettings)
