"""What the Network API has and cloudd has not: answered with 501, and listed in ``docs/networks.md``."""

from __future__ import annotations

ABSENT = {
    "/v2.0/address-groups": "address groups",
    "/v2.0/address-scopes": "address scopes",
    "/v2.0/floatingips": "floating IPs",
    "/v2.0/fw": "firewalls",
    "/v2.0/metering": "metering",
    "/v2.0/network-ip-availabilities": "counts of addresses",
    "/v2.0/qos": "quality of service",
    "/v2.0/rbac-policies": "sharing with certain projects",
    "/v2.0/routers": "routers",
    "/v2.0/segments": "segments",
    "/v2.0/service-providers": "service providers",
    "/v2.0/subnetpools": "subnet pools",
    "/v2.0/trunks": "trunks",
    "/v2.0/vpn": "virtual private networks",
}
