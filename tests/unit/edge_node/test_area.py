"""Who is reported: those who have been where it counts."""

from __future__ import annotations

import numpy as np
import pytest

from accel import Prediction, Rig, Snapshot
from edge_node.area import Covered, Everywhere, Membership, Rectangle, default_area
from tests.support.rigs import ring_rig
from tipoff.errors import InvalidInputError

J = 17


def at(*places: tuple[float, float], ids: tuple[int, ...]) -> Snapshot:
    joints = np.array([[[x, y, 1.0]] * J for x, y in places]).reshape(-1, J, 3)
    count = len(places)
    return Snapshot(
        0,
        np.array(ids, np.int64),
        joints,
        np.zeros((count, J, 3, 3)),
        np.zeros((count, J), np.float32),
        np.zeros((count, J), np.int32),
    )


def test_a_rectangle_holds_what_stands_over_it() -> None:
    area = Rectangle(-1.0, -2.0, 1.0, 2.0)
    points = np.array([[0, 0, 9], [1.1, 0, 0], [0, -2.1, 0], [np.nan, 0, 0]])
    assert area.holds(points).tolist() == [True, False, False, False]


def test_an_empty_rectangle_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="empty"):
        Rectangle(1.0, 0.0, 1.0, 2.0)


def test_covered_is_where_enough_cameras_look() -> None:
    rig = ring_rig(4)
    points = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 50.0], [19.0, 0.0, 1.0]])
    seen = rig.project(points)
    inside = ((seen >= 0) & (seen < rig.size)).all(axis=-1).sum(axis=-1)
    assert Covered(rig, 3).holds(points).tolist() == [bool(n >= 3) for n in inside]
    assert Covered(rig, 3).holds(points)[:2].tolist() == [True, False]


def test_small_rigs_have_no_area_of_their_own() -> None:
    assert isinstance(default_area(ring_rig(3)), Everywhere)
    assert isinstance(default_area(ring_rig(4)), Covered)


def test_a_track_belongs_from_when_it_is_first_inside_to_its_end() -> None:
    members = Membership(Rectangle(-1.0, -1.0, 1.0, 1.0))
    members.update(at((0.0, 0.0), (5.0, 0.0), ids=(1, 2)))
    assert members.outside == {2}
    members.update(at((3.0, 0.0), (0.5, 0.0), (4.0, 4.0), ids=(1, 2, 3)))
    assert members.outside == {3}
    now = members.select(at((3.0, 0.0), (0.5, 0.0), (4.0, 4.0), ids=(1, 2, 3)))
    assert now.ids.tolist() == [1, 2]
    assert now.joints_m.shape == (2, J, 3)


def test_nobody_is_no_error() -> None:
    members = Membership(Everywhere())
    members.update(at(ids=()))
    assert not len(members.select(at(ids=())).ids)


def test_a_track_of_which_nothing_is_known_is_neither_in_nor_out() -> None:
    unknown = at((0.0, 0.0), ids=(1,))
    unknown.joints_m[:] = np.nan
    members = Membership(Everywhere())
    members.update(unknown)
    assert members.outside == set()
    assert not len(members.select(unknown).ids)


def test_a_few_joints_decide_nothing_and_a_stray_one_does_not_count() -> None:
    members = Membership(Rectangle(-1.0, -1.0, 1.0, 1.0))
    few = at((0.0, 0.0), ids=(1,))
    few.joints_m[:, 4:] = np.nan
    members.update(few)
    assert not len(members.select(few).ids)
    stray = at((5.0, 5.0), ids=(1,))
    stray.joints_m[:, 0] = 0.0
    members.update(stray)
    assert members.outside == {1}
    members.update(at((0.5, 0.5), ids=(1,)))
    assert members.outside == set()


def test_people_outside_are_not_posed_and_unknown_ones_are() -> None:
    members = Membership(Rectangle(-1.0, -1.0, 1.0, 1.0))
    members.update(at((0.0, 0.0), (5.0, 0.0), ids=(1, 2)))
    people = Prediction(
        np.array([1, 2, 9], np.int64),
        np.zeros((3, 4)),
        np.zeros((3, J, 3), np.float32),
        np.ones((3, J), np.bool_),
    )
    assert members.expected(people).tolist() == [True, False, True]


def test_an_area_says_what_it_is() -> None:
    rig: Rig = ring_rig(4)
    assert str(Everywhere()) == "everywhere"
    assert str(Rectangle(-14, -7.5, 14, 7.5)) == "x0,y0,x1,y1 = -14,-7.5,14,7.5 m"
    assert str(Covered(rig, 3)) == "where 3 cameras look"
