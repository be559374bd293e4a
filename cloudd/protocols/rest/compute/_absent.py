"""What the Compute API has and cloudd has not: answered with 501, and listed in ``docs/compute.md``."""

from __future__ import annotations

ABSENT = {
    "/v2.1/os-assisted-volume-snapshots": "snapshots with a volume service's help",
    "/v2.1/os-baremetal-nodes": "bare metal",
    "/v2.1/os-cells": "cells",
    "/v2.1/os-certificates": "certificates",
    "/v2.1/os-cloudpipe": "virtual private networks",
    "/v2.1/os-console-auth-tokens": "tokens of consoles",
    "/v2.1/os-fixed-ips": "fixed IPs by the Compute API: use the Network API",
    "/v2.1/os-floating-ip-dns": "names of floating IPs",
    "/v2.1/os-floating-ips-bulk": "floating IPs in bulk: use the Network API",
    "/v2.1/os-fping": "pings",
    "/v2.1/os-security-group-default-rules": "rules that new security groups begin with",
    "/v2.1/os-snapshots": "snapshots by the Compute API: use the Volume API",
    "/v2.1/os-volumes": "volumes by the Compute API: use the Volume API",
    "/v2.1/servers/{server_id}/os-virtual-interfaces": "virtual interfaces: use os-interface",
    "/v2.1/servers/{server_id}/os-volume_attachments": "volumes",
    "/v2.1/servers/{server_id}/remote-consoles": "remote consoles",
    "/v2.1/servers/{server_id}/topology": "NUMA topology",
}
