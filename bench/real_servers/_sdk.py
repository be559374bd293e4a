"""A tenant with openstacksdk: its cloud layer, as Ansible uses it, and its proxies where that layer has nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openstack

from ._client import Shown, Used, Wish, Wrong

ADMIN = "cloudd-admin"


class Sdk:
    """A ``Client``: one login and its connections for the whole walk; waits as long as ``patience_s``."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._cloud = openstack.connect()
        self._admin = openstack.connect(cloud=ADMIN)

    def listed(self) -> Mapping[str, list[str]]:
        compute, network = self._cloud.compute, self._cloud.network
        kinds: dict[str, Any] = {
            "server": compute.servers(),
            "image": self._cloud.image.images(),
            "network": network.networks(),
            "subnet": network.subnets(),
            "security group": network.security_groups(),
            "keypair": compute.keypairs(),
            "flavor": compute.flavors(),
            "server group": compute.server_groups(),
        }
        names = {kind: sorted(each.name for each in found) for kind, found in kinds.items()}
        return {**names, "port": sorted(port.id for port in network.ports())}

    def hosts(self) -> Mapping[str, int]:
        compute, network = self._admin.compute, self._admin.network
        return {
            "hypervisor": len(list(compute.hypervisors(details=True))),
            "compute service": len(list(compute.services())),
            "network agent": len(list(network.agents())),
            "extension": len(list(network.extensions())),
        }

    def zones(self) -> list[str]:
        return sorted(self._cloud.list_availability_zone_names())

    def used(self) -> Used:
        told = self._cloud.get_compute_limits()
        return Used(told.instances_used, told.total_cores_used, told.total_ram_used)

    def quota_servers(self) -> int:
        return int(self._cloud.compute.get_quota_set(self._cloud.current_project_id).instances)

    # ---- what servers are made of

    def make_flavor(self, name: str, ram_mib: int) -> None:
        self._admin.create_flavor(name, ram=ram_mib, vcpus=1, disk=1)

    def make_key(self, name: str, private: Path) -> str:
        key = self._cloud.create_keypair(name)
        private.touch(0o600)
        private.write_text(key.private_key)
        return str(self._cloud.get_keypair(name).public_key)

    def upload(self, name: str, file: Path) -> None:
        self._cloud.create_image(name, str(file), disk_format="qcow2", container_format="bare", wait=True)

    def download(self, name: str, file: Path) -> None:
        self._cloud.download_image(name, output_path=str(file))

    def make_server_group(self, name: str) -> None:
        self._cloud.create_server_group(name, policy="soft-anti-affinity")

    def members(self, server_group: str) -> list[str]:
        return list(self._cloud.get_server_group(server_group).member_ids)

    def make_network(self, name: str, cidr: str) -> None:
        self._cloud.create_network(name)
        self._cloud.create_subnet(name, cidr, enable_dhcp=True, subnet_name=name)

    def make_security_group(self, name: str) -> None:
        self._cloud.create_security_group(name, "of the walk")

    def make_port(self, name: str, network: str, address: str, security_group: str) -> None:
        self._cloud.create_port(
            self._cloud.get_network(network).id,
            name=name,
            fixed_ips=[{"ip_address": address}],
            security_groups=[self._cloud.get_security_group(security_group).id],
        )

    def port_server(self, name: str) -> str:
        return str(self._cloud.get_port(name).device_id)

    def let_echoes_in(self, security_group: str) -> str:
        return str(self._cloud.create_security_group_rule(security_group, protocol="icmp").id)

    def delete_rule(self, rule_id: str) -> None:
        _done(self._cloud.delete_security_group_rule(rule_id), "deleting a rule")

    # ---- servers

    def boot(self, wish: Wish) -> None:
        """With ``auto_ip``, as it is unless said: where there is no floating IP to be had none is waited for."""
        more: dict[str, Any] = {}
        if wish.port:
            more["nics"] = [{"port-id": self._cloud.get_port(wish.port).id}]
        if wish.config_drive:
            more["config_drive"] = True
        for name, value in (
            ("network", wish.network),
            ("security_groups", wish.security_group),
            ("key_name", wish.key),
            ("userdata", wish.user_data),
            ("group", wish.server_group),
        ):
            more.update({name: value} if value else {})
        self._cloud.create_server(wish.name, wish.image, wish.flavor, wait=True, timeout=self._patience_s, **more)

    def show(self, server: str) -> Shown:
        shown = self._server(server)
        return Shown(
            server_id=shown.id,
            status=shown.status,
            task=shown.task_state or "",
            addresses=sorted(address["addr"] for each in shown.addresses.values() for address in each),
            flavor=shown.flavor.original_name,
            fault=str(shown.fault or ""),
        )

    def console(self, server: str) -> str:
        return str(self._cloud.get_server_console(server))

    def history(self, server: str) -> list[str]:
        return [each.action for each in self._cloud.compute.server_actions(self._server(server))][::-1]

    def stop(self, server: str) -> None:
        self._cloud.compute.stop_server(self._server(server))

    def start(self, server: str) -> None:
        self._cloud.compute.start_server(self._server(server))

    def suspend(self, server: str) -> None:
        self._cloud.compute.suspend_server(self._server(server))

    def resume(self, server: str) -> None:
        self._cloud.compute.resume_server(self._server(server))

    def reboot(self, server: str, *, hard: bool) -> None:
        self._cloud.compute.reboot_server(self._server(server), "HARD" if hard else "SOFT")

    def snapshot(self, server: str, image: str) -> None:
        self._cloud.create_image_snapshot(image, server, wait=True, timeout=self._patience_s)

    def resize(self, server: str, flavor: str) -> None:
        self._cloud.compute.resize_server(self._server(server), self._cloud.get_flavor(flavor))

    def confirm(self, server: str) -> None:
        self._cloud.compute.confirm_server_resize(self._server(server))

    def rebuild(self, server: str, image: str) -> None:
        image_id = self._cloud.get_image(image).id
        self._cloud.rebuild_server(self._server(server).id, image_id, wait=True, timeout=self._patience_s)

    def delete_servers(self, *servers: str) -> None:
        for server in servers:
            _done(
                self._cloud.delete_server(server, wait=True, timeout=self._patience_s), f"deleting the server {server}"
            )

    def delete(self, kind: str, name: str) -> None:
        calls = {
            "image": self._cloud.delete_image,
            "security group": self._cloud.delete_security_group,
            "keypair": self._cloud.delete_keypair,
            "port": self._cloud.delete_port,
            "subnet": self._cloud.delete_subnet,
            "network": self._cloud.delete_network,
            "server group": self._cloud.delete_server_group,
            "flavor": self._admin.delete_flavor,
        }
        _done(calls[kind](name), f"deleting the {kind} {name}")

    def _server(self, name: str) -> Any:
        return self._cloud.compute.find_server(name, ignore_missing=False)


def _done(found: bool, what: str) -> None:
    """openstacksdk says False of what it does not find."""
    if not found:
        raise Wrong(f"{what}: openstacksdk finds none")
