# -*- test-case-name: tests.daemon.test_settings -*-
"""
Settings from TOML text, and as plain data for other processes.

Every refusal names the key, what is wrong with it and what to write instead.  The same checks read the file an operator
wrote and the plain data that the anchor sends to its workers.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import attrs

from cloudd.control import SignatureError, TreeError, is_public_key, public_key_in
from cloudd.interfaces.broker import BadBrokerURL, broker_urls
from cloudd.interfaces.database import BadDatabaseURL, check_url
from cloudd.interfaces.download_hosts import BadDownloadHost, read_download_hosts
from cloudd.interfaces.scheduling import BadWeight, read_weights
from cloudd.interfaces.settings import (
    JOINED_SETTINGS,
    DatabaseSettings,
    ImageSettings,
    MessagingSettings,
    NetworkSettings,
    SchedulerSettings,
    Settings,
)
from cloudd.interfaces.tenant_ranges import BadRange, read_ranges

from ._allowed import check_file_owner

MAX_KEY_FILE_BYTES = 65_536

#: Where guests look for metadata: the host's own would be out of its reach.
_METADATA = ipaddress.IPv4Address("169.254.169.254")


class SettingsError(Exception):
    """
    The settings cannot be used; nothing was started or changed.

    :param key: the key with its table, for example ``listen.api``, or the file's path
    :param cause: what is wrong
    :param remedy: what to do about it
    """

    def __init__(self, key: str, cause: str, remedy: str) -> None:
        super().__init__(f"{key}: {cause}; {remedy}")
        self.key = key
        self.cause = cause
        self.remedy = remedy


def read_settings(file: Path | None, state: Path | None, default: Path, listen: Mapping[str, str]) -> Settings:
    """
    What the settings file and the command line say together; the command line wins.

    ``upgrade.public_key`` is the key itself in the result: who can change its file changes nothing until a restart.

    :param file: a TOML file, or None for defaults only
    :param state: the state folder named on the command line, if any
    :param default: the state folder when neither the command line nor the file names one
    :param listen: endpoint strings from the command line by face
    :raises SettingsError: the file cannot be read, or something in it is not allowed
    """
    table = _load(file) if file is not None else {}
    if state is not None:
        table["state"] = str(state)
    elif "state" not in table:
        table["state"] = str(default)
    table = _over_joined(table)
    section = table.setdefault("listen", {})
    if listen and isinstance(section, dict):
        section.update(listen)
    settings = settings_from_plain(table)
    public_key = _public_key(settings.upgrade.public_key)
    return attrs.evolve(settings, upgrade=attrs.evolve(settings.upgrade, public_key=public_key))


def settings_from_plain(table: Mapping[str, Any]) -> Settings:
    """
    Check a table such as ``tomllib`` gives.

    :raises SettingsError: a key is unknown, or a value has the wrong type or lies outside its range
    """
    sections = {section.name: section for section in attrs.fields(Settings)}
    _refuse_unknown(table, sections, "")
    values: dict[str, Any] = {"state": _state_path(table.get("state"))}
    for name, section in sections.items():
        if name != "state" and name in table:
            values[name] = _read_section(name, _section_class(section), table[name])
    settings = Settings(**values)
    _check_database(settings.database)
    _check_messaging(settings.messaging)
    _check_images(settings.images)
    _check_scheduler(settings.scheduler)
    _check_network(settings.network)
    return settings


def settings_to_plain(settings: Settings) -> dict[str, Any]:
    """
    The settings as JSON can carry them; ``settings_from_plain`` reads it back to an equal value.

    Defaults are left out: code of another release, which a hand-over may start with these settings, refuses sections
    that it does not know, and need not know those that nobody has set.
    """
    plain: dict[str, Any] = {"state": str(settings.state)}
    for name, defaults in section_classes().items():
        usual, values = attrs.asdict(defaults()), attrs.asdict(getattr(settings, name))
        if chosen := {key: value for key, value in values.items() if value != usual[key]}:
            plain[name] = chosen
    return plain


def section_classes() -> dict[str, type[attrs.AttrsInstance]]:
    """The tables of the settings file in order: name -> attrs class."""
    return {section.name: _section_class(section) for section in attrs.fields(Settings) if section.name != "state"}


def changed_settings(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """Keys that differ: those that take effect at once, and those that need a restart."""
    at_once: list[str] = []
    at_restart: list[str] = ["state"] if old.state != new.state else []
    for name, section in section_classes().items():
        before, after = getattr(old, name), getattr(new, name)
        for key in attrs.fields(section):
            if getattr(before, key.name) != getattr(after, key.name):
                (at_once if key.metadata["reload"] else at_restart).append(f"{name}.{key.name}")
    return at_once, at_restart


def apply_reloadable(old: Settings, new: Settings) -> Settings:
    """``old`` with the values of ``new`` for those keys that may change while the daemon runs."""
    sections = {}
    for name, section in section_classes().items():
        after = getattr(new, name)
        hot = {key.name: getattr(after, key.name) for key in attrs.fields(section) if key.metadata["reload"]}
        sections[name] = attrs.evolve(getattr(old, name), **hot)
    return attrs.evolve(old, **sections)


def _over_joined(table: dict[str, Any]) -> dict[str, Any]:
    """The operator's settings over those that the machine was given when it joined a cloud."""
    file = _state_path(table["state"]) / JOINED_SETTINGS
    if not file.exists():
        return table
    joined = _load(file)
    for name, section in joined.items():
        own = table.get(name, {})
        table[name] = {**section, **own} if isinstance(section, dict) and isinstance(own, dict) else own
    return table


def _load(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(str(file), f"cannot be read: {reason}", "check the path and its permissions") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(str(file), f"is not TOML: {error}", "mend that line (https://toml.io)") from error


def _public_key(named: str) -> str:
    """The key in base64 that a file holds, or that was written there itself; empty: none."""
    if not named or is_public_key(named):
        return named
    key, remedy = (
        "upgrade.public_key",
        "`cloudctl manifest --new-key FILE` makes a private key and prints its public one",
    )
    path = Path(named).expanduser()
    if not path.is_absolute():
        raise SettingsError(key, f"is {named!r:.60}", f"write an absolute path or the key in base64: {remedy}")
    try:
        file = path.resolve()
        check_file_owner(file, os.geteuid())
        with file.open("rb") as opened:
            return public_key_in(opened.read(MAX_KEY_FILE_BYTES))
    except OSError as error:
        raise SettingsError(key, f"{path} cannot be read: {error.strerror}", remedy) from error
    except SignatureError as error:
        raise SettingsError(key, f"{path} {error}", remedy) from error
    except TreeError as error:
        raise SettingsError(key, f"{error.path} {error.cause}", "whoever may change it chooses the code") from error


def _section_class(section: attrs.Attribute[Any]) -> type[attrs.AttrsInstance]:
    # Every section's default is attrs' Factory of its own class.
    return cast("type[attrs.AttrsInstance]", cast(Any, section.default).factory)


def _read_section(name: str, section: type[attrs.AttrsInstance], table: object) -> attrs.AttrsInstance:
    if not isinstance(table, Mapping):
        raise SettingsError(name, "is a value", f"write it as a table: [{name}]")
    keys = {key.name: key for key in attrs.fields(section)}
    _refuse_unknown(table, keys, f"{name}.")
    return section(**{key: _check(f"{name}.{key}", keys[key], value) for key, value in table.items()})


def _check_database(database: DatabaseSettings) -> None:
    if not database.url:
        if database.password_file:
            raise SettingsError(
                "database.password_file", "is for a server", "name that in database.url, or leave both out"
            )
        return
    try:
        check_url(database.url)
    except BadDatabaseURL as error:
        remedy = 'write "postgresql://user@host/name"; a password goes into a file that database.password_file names'
        raise SettingsError("database.url", f"cannot be used: {error}", remedy) from None
    if database.password_file and not Path(database.password_file).is_absolute():
        raise SettingsError("database.password_file", f"is {database.password_file!r:.60}", "write an absolute path")


def _check_messaging(messaging: MessagingSettings) -> None:
    try:
        urls = broker_urls(messaging.url)
    except BadBrokerURL as error:
        remedy = 'write "amqp://user@host/vhost"; a password goes into a file that messaging.password_file names'
        raise SettingsError("messaging.url", f"cannot be used: {error}", remedy) from None
    with_tls = any(url.startswith("amqps:") for url in urls)
    for key in ("password_file", "ca_file", "certificate_file", "key_file"):
        named = getattr(messaging, key)
        if named and not (urls if key == "password_file" else with_tls):
            remedy = "name that in messaging.url, with amqps:// for TLS, or leave it out"
            raise SettingsError(f"messaging.{key}", "is for a broker", remedy)
        if named and not Path(named).is_absolute():
            raise SettingsError(f"messaging.{key}", f"is {named!r:.60}", "write an absolute path")
    if messaging.key_file and not messaging.certificate_file:
        raise SettingsError("messaging.key_file", "is of no certificate", "name that in messaging.certificate_file")


def _check_images(images: ImageSettings) -> None:
    try:
        read_download_hosts(images.web_download_hosts)
    except BadDownloadHost as error:
        remedy = 'write for example "images.example.org", "*.example.org", "192.0.2.7:8080" or "192.0.2.0/24"'
        raise SettingsError("images.web_download_hosts", str(error), remedy) from None


def _check_scheduler(scheduler: SchedulerSettings) -> None:
    try:
        read_weights(scheduler.weights)
    except BadWeight as error:
        raise SettingsError("scheduler.weights", str(error), 'write for example "memory=2"') from None


def _check_network(network: NetworkSettings) -> None:
    try:
        read_ranges(network.tenant_ranges)
    except BadRange as error:
        remedy = 'write for example ["10.0.0.0/8", "fc00::/7"]'
        raise SettingsError("network.tenant_ranges", str(error), remedy) from None
    try:
        address = ipaddress.IPv4Address(network.metadata_address)
    except ValueError:
        address = ipaddress.IPv4Address(0)
    if address.is_loopback or address.is_unspecified or address.is_multicast or address == _METADATA:
        raise SettingsError(
            "network.metadata_address",
            f"is {network.metadata_address!r:.60}",
            f'write an IPv4 address that nobody has, but none of 127.0.0.0/8 and not {_METADATA}: "169.254.169.250"',
        )
    if network.folder and not Path(network.folder).is_absolute():
        raise SettingsError("network.folder", f"is {network.folder!r:.60}", "write an absolute path")


def _refuse_unknown(given: Iterable[str], known: Iterable[str], prefix: str) -> None:
    names = list(known)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            remedy = f"did you mean {prefix}{near[0]}?" if near else f"known here are {', '.join(sorted(names))}"
            raise SettingsError(f"{prefix}{name}", "there is no such key", remedy)


def _state_path(value: object) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise SettingsError("state", "is not the path of a folder", 'write a text such as "/var/lib/cloudd"')
    return Path(value).expanduser().absolute()


def _check(key: str, facts: attrs.Attribute[Any], value: Any) -> Any:
    default = facts.default
    if isinstance(default, bool):
        return _expect(key, value, isinstance(value, bool), "true or false")
    if isinstance(default, int | float):
        return _check_number(key, facts, value)
    if isinstance(default, tuple):
        texts = isinstance(value, list | tuple) and all(isinstance(item, str) and item for item in value)
        return tuple(_expect(key, value, texts, 'a list of texts, for example ["/srv/cloudd"]'))
    _expect(key, value, isinstance(value, str) and value.isprintable(), "a text in quotes, without control characters")
    choices = facts.metadata["choices"]
    if choices and value not in choices:
        raise SettingsError(key, f"is {value!r}", f"write one of {', '.join(choices)}")
    return value


def _check_number(key: str, facts: attrs.Attribute[Any], value: Any) -> int | float:
    whole = isinstance(facts.default, int)
    unit = facts.metadata["unit"]
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    _expect(key, value, fits, f"a {'whole ' if whole else ''}number of {unit}, without quotes")
    low, high = facts.metadata["minimum"], facts.metadata["maximum"]
    # "not (low <= value)" refuses NaN too, which TOML can write.
    if not ((low is None or value >= low) and (high is None or value <= high)):
        raise SettingsError(key, f"is {value}", f"write a number from {low:g} to {high:g} ({unit})")
    return int(value) if whole else float(value)


def _expect(key: str, value: Any, fits: bool, wanted: str) -> Any:
    if not fits:
        raise SettingsError(key, f"is {value!r:.60}", f"write {wanted}")
    return value
