"""The load policy: in the order that was written down, back again, and without swinging."""

from __future__ import annotations

import itertools

import pytest

from edge_node.frames import DegradationKind
from edge_node.live.load import DEFAULT_STEPS, FULL, LoadOptions, LoadPolicy, LoadStep
from tipoff.errors import InvalidInputError

S = 1_000_000_000
RATE = 30


def overtaken_in(policy: LoadPolicy, sustainable: float, frames: int = RATE) -> tuple[int, int]:
    """A machine that can do so much of the full work: frames done and overtaken in a second."""
    step = policy.step
    wanted = frames / step.rate_divisor
    work = 0.3 / step.detect_factor + 0.7 * step.posed_share
    done = min(wanted, sustainable * frames / work)
    return round(done * step.rate_divisor), round((wanted - done) * step.rate_divisor)


def run(policy: LoadPolicy, seconds: range, sustainable: float) -> list[int]:
    """Levels at the end of each second."""
    levels = []
    for second in seconds:
        done, lost = overtaken_in(policy, sustainable)
        policy.count(second * S, done, lost)
        levels.append(policy.level)
    return levels


def test_a_machine_that_follows_leaves_nothing_out() -> None:
    assert set(run(LoadPolicy(), range(60), 1.2)) == {0}


def test_it_degrades_step_by_step_until_inference_follows_and_recovers() -> None:
    policy = LoadPolicy()
    levels = run(policy, range(30), 0.5)
    risen = [b - a for a, b in itertools.pairwise(levels)]
    assert max(risen) == 1
    assert policy.step.detect_factor == 4
    assert policy.step.posed_share < 1.0
    run(policy, range(30, 400), 2.0)
    assert policy.level == 0


def test_the_order_is_detections_then_people_then_rate() -> None:
    seen = [tuple(d.kind for d in step.degradations()) for step in DEFAULT_STEPS]
    assert seen[0] == (DegradationKind.FEWER_DETECTIONS,)
    assert seen[2] == (DegradationKind.FEWER_DETECTIONS, DegradationKind.FEWER_POSES)
    assert seen[-1][-1] is DegradationKind.LOWER_RATE
    assert all(len(a) <= len(b) for a, b in itertools.pairwise(seen))


def test_a_machine_that_is_too_small_swings_ever_more_rarely() -> None:
    policy = LoadPolicy()
    levels = run(policy, range(1200), 0.5)
    late = levels[600:]
    changes = sum(a != b for a, b in itertools.pairwise(late))
    assert changes <= 2 * 600 / 60 + 2


def test_a_step_in_force_is_said_in_words() -> None:
    said = LoadStep(detect_factor=4, posed_share=0.5, rate_divisor=2).degradations()
    assert [d.detail for d in said] == [
        "inference cannot follow: frames are searched 4 times more rarely",
        "inference cannot follow: 50% of the people are posed in each frame",
        "inference cannot follow: one frame-set in 2 is used",
    ]
    assert LoadStep().degradations() == ()


@pytest.mark.parametrize("wrong", [{"detect_factor": 0}, {"posed_share": 0.0}, {"rate_divisor": 0}])
def test_a_step_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match="no step"):
        LoadStep(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"window_s": 0.0}, {"overtaken_share": 1.0}, {"calm_s": 90.0}])
def test_options_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match="load policy"):
        LoadOptions(**wrong)  # type: ignore[arg-type]


def test_a_level_that_falls_while_another_thread_asks_is_not_the_harshest_step() -> None:
    policy = LoadPolicy()

    class Falling(int):
        """A level that has changed by the time that it is looked at."""

        def __bool__(self) -> bool:
            policy.level = 0
            return super().__bool__()

    policy.level = Falling(1)
    assert policy.step in (FULL, DEFAULT_STEPS[0])
