"""A TCP proxy whose connections a test can cut, hold up and refuse."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator

CHUNK_BYTES = 65536
SHORT_LIFE_BYTES = 400
"""About what a stream's opening takes."""
LONG_LIFE_BYTES = 30_000
"""Some ten snapshots of a few people."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes closing a reset, as a pulled cable or a killed process does."""


class Proxy:
    """Forwards connections to a target that may change."""

    def __init__(self, target: str, cut_after_bytes: Iterable[int] = ()) -> None:
        """Listen on a free port; connections go to ``target`` (host:port).

        Of the first connections, each is reset in the middle of what it carries, once so many bytes
        of ``cut_after_bytes`` went back to the client; those after them live on.
        """
        self.target = target
        self.cuts_left = deque(cut_after_bytes)
        self.refusing = False
        self.delay_s = 0.0
        """How long whatever goes back to the client is kept first."""
        self.accepted = 0
        self._open = threading.Event()
        self._open.set()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        host, _, port = self.target.rpartition(":")
        if self.refusing:
            return _reset(client)
        try:
            server = socket.create_connection((host, int(port)), timeout=5)
        except OSError:
            return _reset(client)
        server.settimeout(None)
        with self._lock:
            self._sockets |= {client, server}
        life_bytes = self.cuts_left.popleft() if self.cuts_left else None
        self._start(self._pump, client, server)
        self._start(self._pump, server, client, life_bytes, True)
        return None

    def _pump(
        self,
        source: socket.socket,
        sink: socket.socket,
        left_bytes: int | None = None,
        back: bool = False,
    ) -> None:
        with contextlib.suppress(OSError):
            while left_bytes != 0 and (data := source.recv(left_bytes or CHUNK_BYTES)):
                self._open.wait()
                if back:
                    time.sleep(self.delay_s)
                sink.sendall(data)
                left_bytes = None if left_bytes is None else left_bytes - len(data)
        self._forget(source, sink)

    def _forget(self, *sockets: socket.socket) -> None:
        with self._lock:
            mine = self._sockets & set(sockets)
            self._sockets -= mine
        for one in mine:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            _reset(one)

    def cut(self) -> None:
        """Reset every connection."""
        self._forget(*self._sockets.copy())

    def hold(self) -> None:
        """Let nothing through, without a word, until :meth:`release`."""
        self._open.clear()

    def release(self) -> None:
        """Let everything through again."""
        self._open.set()

    def close(self) -> None:
        """Stop listening, cut everything, end every thread."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.release()
        while any(thread.is_alive() for thread in self._threads):
            self.cut()
            for thread in self._threads:
                thread.join(0.05)


def _reset(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    one.close()


def random_lives_bytes(count: int, seed: int) -> list[int]:
    """Draw after how many bytes connections are cut: some while they open, most among snapshots."""
    draw = random.Random(seed)
    return [
        draw.randint(1, SHORT_LIFE_BYTES if n % 4 == 0 else LONG_LIFE_BYTES) for n in range(count)
    ]


@contextlib.contextmanager
def proxying(target: str, cut_after_bytes: Iterable[int] = ()) -> Iterator[Proxy]:
    """Give a proxy to ``target``."""
    proxy = Proxy(target, cut_after_bytes)
    try:
        yield proxy
    finally:
        proxy.close()
