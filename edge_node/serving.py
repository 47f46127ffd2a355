"""`tipoff serve`: the pipeline with the hub among its sinks, and the server before it.

The session ends when its videos do: subscribers get what is left and the reason. When the process
is told to go (SIGTERM, Ctrl-C) the session has not ended: streams end with a place to resume from.
"""

from __future__ import annotations

import ipaddress
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Protocol

import click
import structlog

from edge_node.clock import Pace
from edge_node.description import EndReason, SessionDescription, TimeBase
from edge_node.epochs import next_epoch
from edge_node.hub import Hub
from edge_node.memory import share_heaps
from edge_node.results import ResultFiles
from edge_node.server import ServerOptions, StreamServer
from edge_node.session import open_session
from edge_node.signals import on_term
from tipoff.console import progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_node.session import Session, SessionOptions

TAKE_REST_WITHIN_S = 10.0
"""How long subscribers are given for what is left when the session is over."""
LOOK_EVERY_S = 0.02
"""How often the subscribers that are left are counted."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a session is served."""

    listen: str = "127.0.0.1:7400"
    """Address as host:port; port 0 takes a free one."""
    session_name: str = "live"
    """Name of the session."""
    pace: bool = True
    """Play recordings at their own pace."""
    linger_s: float = 0.0
    """How long to stay after the session's end."""
    out: Path | None = None
    """Folder for the results of `tipoff track`, or None."""
    as_json: bool = False
    """Whether a program reads stdout."""


class Ending(Protocol):
    """What ends when the process is told to go."""

    def stop(self) -> None:
        """End soon; returns at once."""


class Readying(Protocol):
    """What says that nobody new is to come."""

    def set_ready(self, ready: bool, /) -> None:
        """Say whether the session can be followed."""


class Stop:
    """Whether the process was told to go, and who is to know of it."""

    def __init__(self) -> None:
        """Nobody has said anything."""
        self._asked = threading.Event()
        self._pipeline: Ending | None = None
        self._server: Readying | None = None

    @property
    def asked(self) -> bool:
        """Whether the process was told to go."""
        return self._asked.is_set()

    def tell(self, pipeline: Ending, server: Readying) -> None:
        """Have these told."""
        self._pipeline, self._server = pipeline, server
        if self.asked:
            self._spread()

    def ask(self) -> None:
        """Tell everybody to go. Takes locks, and so is nothing for a signal's handler."""
        self._asked.set()
        self._spread()

    def _spread(self) -> None:
        if self._server is not None:
            # First of all nobody new is to be sent here.
            threading.Thread(target=self._server.set_ready, args=(False,), daemon=True).start()
        if self._pipeline is not None:
            self._pipeline.stop()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the process is told to go."""
        self._asked.wait(seconds)


def serve(options: SessionOptions, how: ServeOptions) -> None:
    """Serve a session from its first frame to its end, or until the process is told to go.

    Raises:
        ConflictError: The address is taken.
        TipoffError: As `edge_node.session.open_session` and `edge_node.pipeline.Pipeline.run` say;
            subscribers are told before.
    """
    share_heaps()
    with stop_on_signals() as stop, open_session(options, _say) as session:
        hub = Hub(describe_session(session, how.session_name, next_epoch(how.session_name)))
        server = StreamServer([hub], ServerOptions(listen=how.listen))
        address = server.start()
        try:
            _announce(hub, address, how)
            _run(session, hub, server, stop, how)
            stop.wait(how.linger_s)
            _let_finish(server, stop)
        finally:
            server.stop()


def describe_session(session: Session, name: str, epoch: int) -> SessionDescription:
    """Say what the header of the session's streams says."""
    skeleton = session.skeleton
    return SessionDescription(
        session=name,
        epoch=epoch,
        skeleton_name=skeleton.name,
        joints=skeleton.joints,
        edges=skeleton.edges,
        cameras=tuple(session.rig.names),
        rig_digest=f"sha256:{session.rig.digest()}",
        models=tuple((model.name, f"sha256:{model.sha256}") for model in session.models),
        build=f"tipoff {metadata.version('tipoff')}",
        nominal_rate_hz=session.rate_hz,
        time_base=TimeBase.UTC if session.options.start_ns else TimeBase.RECORDING,
    )


def _announce(hub: Hub, address: str, how: ServeOptions) -> None:
    description = hub.description
    if not _is_loopback(address):
        structlog.get_logger(__name__).warning(
            "whoever reaches this address can follow: it has no encryption and asks for no key",
            address=address,
        )
    _say(
        f"serving session {description.session} (epoch {description.epoch}) at {address}; "
        f"follow it with: tipoff watch {address}"
    )
    if how.as_json:
        ready = {"address": address, "session": description.session, "epoch": description.epoch}
        click.echo(json.dumps(ready))


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _run(session: Session, hub: Hub, server: StreamServer, stop: Stop, how: ServeOptions) -> None:
    """Run the pipeline and end the session as it ended."""
    files = None
    if how.out is not None:
        files = ResultFiles(how.out, session, f"Session {how.session_name}")
    sinks = (hub, *(files.sinks if files else ()))
    pace = Pace(session.options.start_ns) if how.pace else None
    with (
        ready_with_first_frame(hub, server, stop),
        progress("Serving", session.total, "frames") as bar,
    ):
        pipeline = session.pipeline(sinks, pace, bar.advance)
        stop.tell(pipeline, server)
        try:
            result = pipeline.run()
        except KeyboardInterrupt:
            if files is not None:
                files.finish(pipeline.result())
            raise
        except Exception as error:
            hub.end(EndReason.FAILED, str(error))
            _let_finish(server, stop)
            raise
    if files is not None:
        files.finish(result)
    if not result.interrupted:
        hub.end(EndReason.COMPLETED, f"the videos ended after {result.frames} snapshots")


@contextmanager
def ready_with_first_frame(hub: Hub, server: StreamServer, stop: Stop) -> Iterator[None]:
    """Say that the server is ready when a first frame has come all the way.

    That shows that rig, cameras and models are there and work; nothing else does.
    """
    done = threading.Event()

    def look() -> None:
        if not done.is_set() and hub.newest:
            done.set()
            if not stop.asked:
                server.set_ready()

    hub.add_listener(look)
    try:
        yield
    finally:
        hub.remove_listener(look)


def _let_finish(server: StreamServer, stop: Stop) -> None:
    """Wait, within a bound, until subscribers have taken what is left."""
    until_s = time.monotonic() + TAKE_REST_WITHIN_S
    while server.subscribers and time.monotonic() < until_s and not stop.asked:
        time.sleep(LOOK_EVERY_S)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Take SIGTERM as a wish to go, once: a second one ends the process at once.

    Ctrl-C stays what it is, an exception in the main thread, which everything here cleans up after.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    with on_term(stop.ask):
        yield stop


def _say(line: str) -> None:
    click.echo(line, err=True)
