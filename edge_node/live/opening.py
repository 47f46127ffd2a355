"""What a live session rests on, opened out of its file: rig, models, journal, tracker.

What is cheap to get wrong is opened first. Beside it, what a file's settings mean to each part.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from accel import COCO17, Rig, TrackerOptions
from edge_node.area import default_area
from edge_node.availability import AvailabilityRules
from edge_node.cameras.group import CamerasOptions
from edge_node.cameras.ring import FOLDER as RING
from edge_node.cameras.ring import Ring, RingOptions
from edge_node.description import SessionDescription, StreamKind
from edge_node.epochs import state_folder
from edge_node.inference import Inference
from edge_node.journal.describing import describe as describe_facts
from edge_node.journal.describing import header_notes
from edge_node.journal.facts import SessionFacts
from edge_node.journal.journal import Journal, JournalOptions
from edge_node.journal.keeping import KeepOptions
from edge_node.journal.keys import NodeKey
from edge_node.journal.where import journals_folder, session_folder
from edge_node.live.capacity import CapacityOptions, measure_capacity
from edge_node.live.leaving import CLOSED_UNTIL_S, MODELS_UNTIL_S, Leaving
from edge_node.live.parts import LoopOptions
from edge_node.live.resume import resume
from edge_node.session import connected, fit_crops, models_used, serving
from edge_node.telemetry.tracing import TraceOptions
from tipoff.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from edge_node.area import Area
    from edge_node.live.resume import Resumed
    from edge_node.live.settings import SessionSettings
    from edge_node.session import ModelUsed
MS = 1_000_000
S = 1_000_000_000

log = structlog.get_logger(__name__)
MODELS_END_WITHIN_S = 2.0
"""How long the models' server that a node started may take to end before it is killed, at most."""
_CAPACITY = CapacityOptions(warm_s=0.3, measured_s=1.0)
"""A second of what the session asks of the machine, before it begins."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a node rests on."""

    settings: SessionSettings
    """What was declared."""
    rig: Rig
    """The calibrated cameras."""
    area: Area
    """Where people are reported from."""
    models: tuple[ModelUsed, ...]
    """The models that take part."""
    inference: Inference | None
    """Asks them; None where nobody gives pictures."""
    key: NodeKey
    """The node's."""
    facts: SessionFacts
    """What makes the snapshots, as the journal has it."""
    journal: Journal
    """Open, with the epoch that it took."""
    resumed: Resumed
    """Where the session goes on."""
    leaving: Leaving
    """How it is left, when the time comes."""
    sustainable_rate_hz: float = 0.0
    """Frame-sets a second that this machine can do; 0: not measured."""


@contextmanager
def open_parts(settings: SessionSettings, report: Callable[[str], None]) -> Iterator[Opened]:
    """Open rig, models, journal and tracker.

    Args:
        settings: What to track, and how.
        report: Takes a line at a time about what is going on.

    Raises:
        TipoffError: Something is not there, or cannot be used; the message says what to do.
    """
    rig = Rig.load(settings.rig, settings.scale)
    _check_cameras(settings, rig)
    area = settings.area or default_area(rig)
    plan = fit_crops(settings.models.plan) if settings.sees else settings.models.plan
    settings = replace(settings, models=replace(settings.models, plan=plan))
    models = models_used(plan) if settings.sees else ()
    key = NodeKey.of_folder(state_folder())
    options = TrackerOptions(lag_ms=settings.tracking.lag_ms)
    leaving = Leaving()
    with ExitStack() as opened:
        inference = opened.enter_context(_inference(settings, report, leaving))
        facts = _facts(settings, rig, options, models)
        journal = Journal.open(journal_folder(settings), facts, key, _journal_options(settings))
        opened.callback(leaving.step, "closing the journal", journal.close, CLOSED_UNTIL_S)
        resumed = resume(journal, rig, options, area)
        journal.forget()
        # Whoever goes on in the middle of a game has no second to spare for it.
        rate_hz = 0.0 if journal.resumes else _sustainable_hz(settings, rig, inference)
        yield Opened(
            settings=settings,
            rig=rig,
            area=area,
            models=models,
            inference=inference,
            key=key,
            facts=facts,
            journal=journal,
            resumed=resumed,
            leaving=leaving,
            sustainable_rate_hz=rate_hz,
        )


def _sustainable_hz(settings: SessionSettings, rig: Rig, inference: Inference | None) -> float:
    """Measure what rate this machine can sustain, and warn where that is less than is wanted."""
    measured = measure_capacity(rig, settings.models.plan, inference, _CAPACITY)
    wanted_hz = settings.tracking.rate_hz
    tell = log.info if measured.rate_hz >= wanted_hz else log.warning
    tell(
        "sustainable rate measured",
        rate_hz=round(measured.rate_hz, 1),
        wanted_hz=wanted_hz,
        decode_ms=round(measured.decode_ms, 2),
        infer_ms=round(measured.infer_ms, 2),
        track_ms=round(measured.track_ms, 2),
    )
    return measured.rate_hz


def _check_cameras(settings: SessionSettings, rig: Rig) -> None:
    unknown = [camera.name for camera in settings.cameras if camera.name not in rig.names]
    if unknown:
        raise NotFoundError(
            f"{settings.file} gives sources to {', '.join(unknown)}; the rig has "
            f"{', '.join(rig.names)}",
            cameras=unknown,
        )
    if len({camera.time_base for camera in settings.cameras}) > 1:
        raise InvalidInputError(
            f"{settings.file} has recordings that keep their own times (shift = false) beside "
            "sources whose times are those of the clock: give shift = false to all or to none, and "
            "no RTSP source beside such recordings"
        )


@contextmanager
def _inference(
    settings: SessionSettings, report: Callable[[str], None], leaving: Leaving
) -> Iterator[Inference | None]:
    if not settings.sees:
        yield None
        return
    with _serving(settings, report, leaving) as address, connected(address) as client:
        inference = Inference(client, len(COCO17.joints), settings.models.threshold)
        try:
            yield inference
        finally:
            if inference.busy:
                # Nobody waits for these answers any more, and a server that hangs gives none.
                client.hang_up()
            inference.close()


def _serving(
    settings: SessionSettings, report: Callable[[str], None], leaving: Leaving
) -> AbstractContextManager[str]:
    def grace_s() -> float:
        return min(MODELS_END_WITHIN_S, leaving.left_s(MODELS_UNTIL_S))

    return serving(settings.models.triton, report, grace_s)


def _facts(
    settings: SessionSettings, rig: Rig, options: TrackerOptions, models: Sequence[ModelUsed]
) -> SessionFacts:
    from accel import Tracker

    return SessionFacts(
        session=settings.name,
        rig=rig,
        tracker=options,
        isa=Tracker(rig, options).isa,
        models=tuple((model.name, f"sha256:{model.sha256}") for model in models),
        node=settings.node,
        time_base=str(settings.time_base),
        rate_hz=settings.tracking.rate_hz,
        notes={
            "area": str(settings.area) if settings.area else "default",
            **header_notes(availability_rules(settings), settings.roster),
        },
    )


def _journal_options(settings: SessionSettings) -> JournalOptions:
    journal = settings.journal
    keep = KeepOptions(round(journal.max_gb * 1e9), journal.max_age_h * 3600.0)
    return JournalOptions(keep=keep)


def journal_folder(settings: SessionSettings) -> Path:
    """Give the folder of a session's journal: among the user's, or those of a state of its own."""
    own = settings.state != state_folder() / settings.name
    return session_folder(settings.name, journals_folder(settings.state) if own else None)


def availability_rules(settings: SessionSettings) -> AvailabilityRules:
    """Give the rules of the availability as a session file declares them."""
    said = settings.availability
    return AvailabilityRules(
        window_ns=round(said.window_s * S),
        min_views=said.min_views,
        max_std_m=said.max_std_mm * 1e-3,
        max_snapshot_age_ns=round(said.max_snapshot_age_ms * MS),
        off_after_ns=round(said.off_after_s * S),
    )


def describe(opened: Opened, kind: StreamKind) -> SessionDescription:
    """Say what the header of one of the session's streams says."""
    return describe_facts(opened.facts, opened.journal.epoch, kind, opened.key.public)


def trace_options(settings: SessionSettings) -> TraceOptions:
    """Say which frame-sets are traced, and where to."""
    told = settings.telemetry
    endpoint = f"http://{told.otlp}/v1/traces" if told.otlp else ""
    return TraceOptions(endpoint, told.trace_every)


def ring_of(settings: SessionSettings, epoch: int) -> Ring | None:
    """Make the ring of the cameras' video, where any is kept; cameras share its room."""
    kept = settings.ring
    if not kept.minutes:
        return None
    length_s = 60.0 * kept.minutes
    options = RingOptions(length_s, round(kept.max_gb * 1e9), min(kept.segment_s, length_s), epoch)
    return Ring(settings.state / RING, options)


def camera_options(settings: SessionSettings) -> CamerasOptions:
    """Say how the cameras are read."""
    return CamerasOptions(folder=settings.file.resolve().parent, joints=len(COCO17.joints))


def loop_options(opened: Opened) -> LoopOptions:
    """Say how the loop runs."""
    settings = opened.settings
    return LoopOptions(
        plan=settings.models.plan,
        area=opened.area,
        rounds=settings.rounds,
        load=settings.load,
        checkpoint_every_ns=round(settings.journal.checkpoint_every_s * S),
    )
