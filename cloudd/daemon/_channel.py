# -*- test-case-name: tests.daemon.test_channel -*-
"""
The channel between the anchor and its loader: whole messages with descriptors over a SOCK_SEQPACKET socket pair.

The anchor sends ``Fork``; the loader answers ``Forked`` (with a pidfd of the new process) or ``ForkFailed``, and sends
``Exited`` for each process that ended.  The end of the stream is the other's death.
"""

from __future__ import annotations

import socket

import msgspec

from ._passing import receive_with_descriptors

MAX_MESSAGE_BYTES = 131_072
MAX_DESCRIPTORS = 32


class Fork(msgspec.Struct, tag="fork"):
    """
    Fork a worker.  Descriptors: the worker's end of its link, then its listening sockets.

    :param number: given by the anchor, unique in its life
    :param spec: what ``_worker.run_worker`` needs, as JSON
    """

    number: int
    spec: msgspec.Raw


class Forked(msgspec.Struct, tag="forked"):
    """The worker runs.  Descriptors: its pidfd."""

    number: int
    pid: int


class ForkFailed(msgspec.Struct, tag="fork-failed"):
    """There is no such worker."""

    number: int
    cause: str


class Exited(msgspec.Struct, tag="exited"):
    """A worker ended; ``status`` is as ``os.waitstatus_to_exitcode`` says: negative for a signal."""

    number: int
    status: int


class Booted(msgspec.Struct, tag="booted"):
    """The loader has imported all it imports and waits for commands."""

    seconds: float


AnyMessage = Fork | Forked | ForkFailed | Exited | Booted
_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyMessage] = msgspec.json.Decoder(AnyMessage)


class ChannelClosed(Exception):
    """The other end has gone."""


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new channel; closed on exec unless named."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(channel: socket.socket, message: AnyMessage, descriptors: list[int] | None = None) -> None:
    """
    Send one message.

    :raises ChannelClosed: the other end has gone
    :raises BlockingIOError: it does not read, and the channel does not block
    """
    try:
        socket.send_fds(channel, [_encoder.encode(message)], descriptors or [])
    except (BrokenPipeError, ConnectionResetError) as error:
        raise ChannelClosed(str(error)) from error


def receive(channel: socket.socket) -> tuple[AnyMessage, list[int]]:
    """
    Wait for one message; its descriptors belong to the caller and close on exec.

    :raises ChannelClosed: the other end has gone
    :raises BlockingIOError: nothing there, and the channel does not block
    """
    try:
        data, descriptors = receive_with_descriptors(channel, MAX_MESSAGE_BYTES, MAX_DESCRIPTORS)
    except ConnectionResetError as error:
        raise ChannelClosed(str(error)) from error
    if not data:
        raise ChannelClosed("end of the stream")
    return _decoder.decode(data), descriptors
