"""Frames of Ethernet that no honest guest sends."""

from __future__ import annotations

import socket
import struct


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def datagram(macs: tuple[str, str], addresses: tuple[str, str], ports: tuple[int, int], text: bytes) -> bytes:
    """UDP over IPv4; each pair is (source, destination)."""
    udp = struct.pack("!4H", *ports, 8 + len(text), 0) + text
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + b"".join(
        map(socket.inet_aton, addresses)
    )
    head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    return _mac(macs[1]) + _mac(macs[0]) + b"\x08\x00" + head + udp


def echo_request(macs: tuple[str, str], addresses: tuple[str, str], identifier: int) -> bytes:
    """Of ICMP over IPv4; each pair is (source, destination)."""
    echo = struct.pack("!BBHHH", 8, 0, 0, identifier, 1)
    echo = echo[:2] + struct.pack("!H", _checksum(echo)) + echo[4:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(echo), 1, 0, 64, 1, 0) + b"".join(
        map(socket.inet_aton, addresses)
    )
    head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    return _mac(macs[1]) + _mac(macs[0]) + b"\x08\x00" + head + echo


def arp_claim(mac: str, address: str, asked: str) -> bytes:
    """Ask who has ``asked``, as if ``address`` were at ``mac``."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + _mac(mac) + socket.inet_aton(address)
    return b"\xff" * 6 + _mac(mac) + b"\x08\x06" + body + bytes(6) + socket.inet_aton(asked)
