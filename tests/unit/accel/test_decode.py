"""The Cython decoder gives what the NumPy oracle gives, to the bit, for any heads at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from accel import decode, decode_reference
from tests.support.heads import Heads, Person, draw
from tipoff.errors import InvalidInputError

ODD = (np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-40, 0.0, -1.0)


def _random_heads(seed: int, height: int, width: int, odd: float) -> Heads:
    """Heads of noise with plateaus, and a share of numbers that no network should give."""
    rng = np.random.default_rng(seed)

    def head(channels: int, low: float, high: float) -> NDArray[np.float32]:
        values = rng.uniform(low, high, (height, width, channels))
        values = np.where(rng.random(values.shape) < 0.3, np.round(values, 1), values)
        values = np.where(rng.random(values.shape) < odd, rng.choice(ODD, values.shape), values)
        return values.astype(np.float32)

    return Heads(
        head(17, 0, 1),
        head(1, 0, 1),
        head(34, -6, 6),
        head(34, -1, 1),
        head(2, 0, 20),
        head(2, -1, 1),
    )


heads_of_noise = st.builds(
    _random_heads,
    st.integers(0, 2**32 - 1),
    st.integers(1, 24),
    st.integers(1, 24),
    st.sampled_from([0.0, 0.0, 0.02, 0.5]),
)


@settings(max_examples=150, deadline=None)
@given(heads_of_noise, st.floats(0.01, 0.9), st.integers(1, 40), st.floats(0.0, 1.0))
def test_people_are_those_of_the_oracle(
    heads: Heads, threshold: float, max_people: int, nms_oks: float
) -> None:
    found, expected = (
        people(*heads, threshold=threshold, max_people=max_people, nms_oks=nms_oks)
        for people in (decode.people, decode_reference.people)
    )
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert len(found[0]) <= max_people


@settings(max_examples=150, deadline=None)
@given(heads_of_noise)
def test_a_single_pose_is_that_of_the_oracle(heads: Heads) -> None:
    found = decode.single(*heads[:4])
    np.testing.assert_array_equal(found, decode_reference.single(*heads[:4]))
    missing = found[:, 2] == 0.0
    assert np.isnan(found[missing, :2]).all()
    assert np.isfinite(found[~missing]).all()


def test_people_are_where_they_were_drawn() -> None:
    drawn = [Person(20, 14, 12, 6), Person(20, 34, 14, 5), Person(8, 50, 10, 4, center=0.5)]
    boxes, keypoints, scores = decode.people(*draw(drawn, 40, 64))
    assert len(scores) == 3
    assert list(scores) == sorted(scores, reverse=True)
    for box, joints in zip(boxes, keypoints, strict=True):
        person = min(drawn, key=lambda p: abs(4 * p.x - box[[0, 2]].mean()))
        np.testing.assert_allclose(box, person.box_px, atol=1e-4)
        np.testing.assert_allclose(joints[:, :2], person.joints_px, atol=1e-4)
        assert (joints[:, 2] > 0.5).all()


def test_two_centres_of_one_person_become_one() -> None:
    person = Person(20, 20, 12, 6)
    heads = draw([person], 40, 40)
    heads.center[23, 20] = 0.8
    for name in ("regress", "scale", "boxoff"):
        head = getattr(heads, name)
        head[23, 20] = head[20, 20]
    heads.regress[23, 20, 0::2] -= 3
    heads.boxoff[23, 20, 0] -= 3
    assert len(decode.people(*heads)[2]) == 1
    assert len(decode.people(*heads, nms_oks=1.0)[2]) == 2


def test_a_low_score_is_left_out() -> None:
    heads = draw([Person(20, 20, 12, 6, center=0.3)], 40, 40)
    (score,) = decode.people(*heads)[2]
    assert 0.2 < score < 0.3
    assert len(decode.people(*heads, threshold=float(score) + 1e-3)[2]) == 0


def test_the_best_people_are_kept() -> None:
    drawn = [Person(20, 12 + 20 * i, 10, 5, center=0.5 + 0.1 * i) for i in range(4)]
    scores = decode.people(*draw(drawn, 40, 90))[2]
    kept = decode.people(*draw(drawn, 40, 90), max_people=2)[2]
    np.testing.assert_array_equal(kept, scores[:2])


def test_a_joint_whose_place_is_not_finite_is_missing() -> None:
    heads = draw([Person(20, 20, 12, 6)], 40, 40)
    heads.regress[20, 20, 6:8] = np.nan
    _, keypoints, _ = decode.people(*heads)
    assert np.isnan(keypoints[0, 3, :2]).all()
    assert keypoints[0, 3, 2] == 0.0
    assert (keypoints[0, [2, 4], 2] > 0.5).all()


def test_empty_heads_hold_nobody() -> None:
    heads = draw([], 16, 16)
    boxes, keypoints, scores = decode.people(*heads)
    assert (boxes.shape, keypoints.shape, scores.shape) == ((0, 4), (0, 17, 3), (0,))
    assert np.isnan(decode.single(*heads[:4])[:, :2]).all()


def test_the_person_in_the_middle_of_a_crop_is_posed() -> None:
    drawn = [Person(24, 26, 14, 6, center=0.7), Person(24, 44, 14, 6, center=0.95)]
    joints = decode.single(*draw(drawn, 48, 48)[:4])
    np.testing.assert_allclose(joints[:, :2], drawn[0].joints_px, atol=1e-4)


def test_heads_that_are_views_of_a_batch_are_read() -> None:
    heads = draw([Person(20, 20, 12, 6)], 40, 40)
    nchw = [np.ascontiguousarray(head.transpose(2, 0, 1)).transpose(1, 2, 0) for head in heads]
    for mine, theirs in zip(decode.people(*nchw), decode.people(*heads), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("index", "head", "message"),
    [
        (0, np.zeros((4, 4, 16), np.float32), "head heat is float32 (4, 4, 16)"),
        (1, np.zeros((4, 5, 1), np.float32), "head center is float32 (4, 5, 1)"),
        (2, np.zeros((4, 4, 34)), "head regress is float64 (4, 4, 34)"),
        (3, np.zeros((1, 4, 4, 34), np.float32), "head offset is float32 (1, 4, 4, 34)"),
        (4, None, "head scale is NoneType"),
        (0, np.zeros((0, 4, 17), np.float32), "head heat is float32 (0, 4, 17)"),
    ],
)
def test_a_head_of_another_shape_or_type_is_named(
    index: int, head: NDArray[np.float32], message: str
) -> None:
    heads = list(draw([], 4, 4))
    heads[index] = head
    with pytest.raises(InvalidInputError) as caught:
        decode.people(*heads)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"threshold": np.nan}, {"nms_oks": np.inf}, {"max_people": 0}, {"max_people": 2000}],
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError):
        decode.people(*draw([], 4, 4), **options)  # type: ignore[arg-type]
