# -*- test-case-name: tests.protocols.rest.compute.test_server_create -*-
"""What a request for new servers means.  Source: Compute API, "Create server", and Nova's own checks of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from attrs import evolve
from msgspec import UnsetType

from cloudd import compute as service
from cloudd.compute import NewServers, WantedNetwork

from .._faults import bad_request
from ._call import ComputeCall, invalid, printable, truth, whole
from ._server_body import CREATE, DEVICE, DeviceBody, NetworkBody, ServerBody
from ._server_values import address, any_address, description, disk_config, in_base64, is_uuid, items, tags
from ._versions import Version

HINTS = ("os:scheduler_hints", "OS-SCH-HNT:scheduler_hints")
_MAX_HINTS = 16_384  # bytes as JSON
_MAX_NETWORKS = 64
_MODES: Version = (2, 37)  # from here on networks must be said, and may be "auto" or "none"


async def read_new_server(call: ComputeCall) -> tuple[ServerBody, dict[str, Any]]:
    """
    The body, with the hints for the scheduler that stand beside the server.

    :raises Fault: 400 with the place and the cause
    """
    whole_body = await call.read_object()
    if "server" not in whole_body:
        raise invalid("'server' is a required property")
    if strange := sorted(set(whole_body) - {"server", *HINTS}):
        shown = ", ".join(repr(each[:60]) for each in strange[:10])
        raise invalid(f"Additional properties are not allowed ({shown} was unexpected)")
    body = call.converted("server", whole_body["server"], ServerBody, CREATE)
    return body, _hints([whole_body[name] for name in HINTS if name in whole_body])


def _hints(given: Sequence[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in given:
        if not isinstance(each, dict):
            raise invalid("expected an object", HINTS[0])
        found |= each
    if len(msgspec.json.encode(found)) > _MAX_HINTS:
        raise invalid(f"longer than {_MAX_HINTS} bytes", HINTS[0])
    group = found.get("group")
    if group is not None and not (isinstance(group, str) and is_uuid(group)):
        raise invalid(f"Value: {str(group)[:60]}. It is no UUID.", f"{HINTS[0]}.group")
    if group is None:
        found.pop("group", None)
    return found


def wanted_servers(call: ComputeCall, body: ServerBody, hints: Mapping[str, Any]) -> NewServers:
    """
    :raises Fault: 400 with the member and what is wrong
    """
    least, most = _counts(body)
    networks, needs_network = _networks(call, body.networks)
    groups = [] if isinstance(body.security_groups, UnsetType) else [each.name for each in body.security_groups]
    if body.trusted_image_certificates:
        raise bad_request("trusted_image_certificates: cloudd does not validate certificates of images; leave it out.")
    wanted = NewServers(
        name=printable("name", body.name),
        flavor_id=str(body.flavor_ref),
        image_id=_image(call, body),
        description=description(body.description),
        least=least,
        most=most,
        key_name=None if isinstance(body.key_name, UnsetType) else body.key_name,
        user_data=None if isinstance(body.user_data, UnsetType) else in_base64("user_data", body.user_data),
        files=tuple((each.path, in_base64("personality", each.contents)) for each in body.personality),
        items=items("metadata", body.metadata),
        tags=tags("tags", body.tags),
        hints=hints,
        networks=networks,
        needs_network=needs_network,
        security_groups=tuple(dict.fromkeys(groups)),
        config_drive=bool(body.config_drive) and truth("config_drive", body.config_drive or False),
        disk_config=disk_config(body.disk_config),
        access_ip_v4=address("accessIPv4", body.access_ip_v4, 4),
        access_ip_v6=address("accessIPv6", body.access_ip_v6, 6),
    )
    return _placed(call, wanted, body)


def _counts(body: ServerBody) -> tuple[int, int]:
    least = 1 if isinstance(body.min_count, UnsetType) else whole("min_count", body.min_count, 1)
    most = least if isinstance(body.max_count, UnsetType) else whole("max_count", body.max_count, 1)
    if least > most:
        raise bad_request("min_count must be <= max_count")
    if most > service.MAX_SERVERS:
        raise invalid(f"Value: {most}. One request makes at most {service.MAX_SERVERS} servers.", "max_count")
    return least, most


def _placed(call: ComputeCall, wanted: NewServers, body: ServerBody) -> NewServers:
    """With zone and host: ``ZONE:HOST`` is for administrators, as a host by its own member is."""
    zone = "" if isinstance(body.availability_zone, UnsetType) else body.availability_zone
    zone, *forced = zone.split(":")
    named = {each for each in (body.host, body.hypervisor_hostname) if not isinstance(each, UnsetType)}
    if len(forced) > 2:
        raise bad_request("Unable to parse availability_zone: 'ZONE', 'ZONE:HOST' or 'ZONE:HOST:NODE' is meant.")
    hosts = {each for each in forced if each}
    if forced:
        service.enforce_admin(call.access, "servers:create:forced_host")
    if named and hosts:
        raise bad_request(
            "One mechanism with host and/or hypervisor_hostname and another mechanism with zone:host:node are mutually "
            "exclusive."
        )
    if len(hosts | named) > 1:
        raise bad_request(f"Compute host {' on node '.join(sorted(hosts | named))[:255]} could not be found.")
    return evolve(wanted, zone=zone, host=next(iter(hosts | named), ""))


# ---- what it boots


def _image(call: ComputeCall, body: ServerBody) -> str:
    """Id of the image, named by itself, among the disks, or in both."""
    if not isinstance(body.block_device_mapping, UnsetType) and body.block_device_mapping:
        raise bad_request(
            "Block Device Mapping is Invalid: block_device_mapping is of volumes, which cloudd has not yet: "
            "boot from an image with imageRef."
        )
    devices = [] if isinstance(body.block_device_mapping_v2, UnsetType) else body.block_device_mapping_v2
    found = {_image_of(call, each) for each in devices}
    if not isinstance(body.image_ref, UnsetType) and body.image_ref:
        found.add(body.image_ref)
    if len(devices) > 1 or len(found) > 1:
        raise bad_request(
            "Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping "
            "combination is not valid: one image is booted, from a local disk."
        )
    if not found:
        raise bad_request("Missing imageRef attribute")
    (image_id,) = found
    if not is_uuid(image_id):
        raise bad_request("Invalid imageRef provided.")
    return image_id


def _image_of(call: ComputeCall, device: DeviceBody) -> str:
    path = "block_device_mapping_v2"
    given = {"volume_type"} if device.volume_type is not None else set()
    if DEVICE.strange(call.version, given) or (not isinstance(device.tag, UnsetType) and not _has_tags(call, 32)):
        raise invalid("Additional properties are not allowed in this version: volume_type, tag", path)
    truth(f"{path}.delete_on_termination", device.delete_on_termination)
    if device.source_type not in ("image", "volume", "snapshot", "blank"):
        raise invalid(f"Value: {device.source_type[:40]}. It is none of image, volume, snapshot, blank.", path)
    if device.source_type != "image" or device.destination_type not in (None, "local"):
        raise bad_request(
            "Block Device Mapping is Invalid: cloudd has no volumes yet, and hosts make no further disks: "
            "source_type 'image' with destination_type 'local' is meant."
        )
    if device.volume_size not in (None, ""):
        whole(f"{path}.volume_size", device.volume_size or 0, 1)
    if device.boot_index in (None, "") or whole(f"{path}.boot_index", device.boot_index or 0, -1) != 0:
        raise bad_request(
            "Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping "
            "combination is not valid: boot_index 0 is meant."
        )
    image_id = device.uuid or device.image_id
    if not image_id:
        raise bad_request("Block Device Mapping is Invalid: uuid of the image is missing.")
    return image_id


# ---- its networks


def _networks(
    call: ComputeCall, given: list[NetworkBody] | str | UnsetType
) -> tuple[tuple[WantedNetwork, ...] | None, bool]:
    """What ``NewServers`` has as ``networks`` and ``needs_network``."""
    if isinstance(given, UnsetType):
        if call.version >= _MODES:
            raise invalid("'networks' is a required property", "server")
        return None, False
    if isinstance(given, str):
        if call.version < _MODES or given not in ("auto", "none"):
            raise invalid(f"Value: {given[:40]}. A list, or from 2.37 on 'auto' or 'none' is meant.", "networks")
        return (None, True) if given == "auto" else ((), False)
    if len(given) > _MAX_NETWORKS:
        raise invalid(f"A server has at most {_MAX_NETWORKS} interfaces.", "networks")
    return tuple(_network(call, each) for each in given) or None, False


def _network(call: ComputeCall, given: NetworkBody) -> WantedNetwork:
    tag = "" if isinstance(given.tag, UnsetType) else given.tag
    if tag and not _has_tags(call, 36):
        raise invalid("Additional properties are not allowed in this version: tag", "networks")
    if "/" in tag or "," in tag:
        raise invalid("A tag holds neither '/' nor ','.", "networks.tag")
    fixed_ip = "" if isinstance(given.fixed_ip, UnsetType) else any_address("networks.fixed_ip", given.fixed_ip)
    if given.port:
        if fixed_ip:
            raise bad_request(
                f"Specified Fixed IP '{fixed_ip}' cannot be used with port '{given.port[:64]}': "
                "port already has a Fixed IP allocated."
            )
        return WantedNetwork(port_id=_id("networks.port", given.port), tag=tag)
    if not given.uuid:
        raise bad_request("Bad networks format: network uuid is missing: a uuid or a port is meant.")
    return WantedNetwork(network_id=_id("networks.uuid", given.uuid), fixed_ip=fixed_ip, tag=tag)


def _id(path: str, text: str) -> str:
    if not is_uuid(text):
        raise invalid(f"Value: {text[:60]}. '{text[:60]}' is not a 'uuid'", path)
    return text


def _has_tags(call: ComputeCall, until: int) -> bool:
    """Tags of devices came with 2.32, were lost (of disks 2.33, of networks 2.37), and came back with 2.42."""
    return (2, 32) <= call.version <= (2, until) or call.version >= (2, 42)
