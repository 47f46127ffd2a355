"""TCP ports on this machine."""

from __future__ import annotations

import socket

from triton_models.errors import PortTakenError

HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now; another process may still be faster."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def require_free(port: int, option: str) -> None:
    """Refuse a port that is taken.

    Args:
        port: The port that was asked for.
        option: The option that sets it, for the message.

    Raises:
        PortTakenError: somebody listens there, or we may not.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortTakenError(
                f"port {port} on {HOST} cannot be used ({error.strerror}): another process "
                f"listens there (`ss -ltnp 'sport = :{port}'` says which). End it, or choose "
                f"another port with {option} (0 takes a free one)",
                port=port,
            ) from error
