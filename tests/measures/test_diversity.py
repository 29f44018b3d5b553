"""Variety, neighbours, choices: known answers by hand."""

from __future__ import annotations

import numpy as np
import pytest

from burnish.measures.diversity import clusters, distinct, entropy, facility_location, farthest_first, plane, vendi
from burnish.measures.neighbours import disagreement, nearest


def circle(*degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def test_vendi_counts_what_is_different() -> None:
    assert vendi(np.eye(5, dtype=np.float32)) == pytest.approx(5)
    assert vendi(np.tile(np.eye(3, dtype=np.float32)[:1], (7, 1))) == pytest.approx(1)
    # two equal, one at a right angle: eigenvalues 2/3 and 1/3
    assert vendi(np.eye(2, dtype=np.float32)[[0, 0, 1]]) == pytest.approx(3 / 2 ** (2 / 3))
    many = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    many /= np.linalg.norm(many, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(many @ many.T / 50)
    values = values[values > 1e-9]
    assert vendi(many) == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=1e-4)


def test_entropy_and_distinct_by_hand() -> None:
    assert entropy([2, 1, 1, 0]) == 1.5
    assert distinct([["a", "b", "a"], ["a", "b"]], 1) == 0.4
    assert distinct([["a", "b", "a"], ["a", "b"]], 2) == pytest.approx(2 / 3)
    assert distinct([[]], 1) == 0.0


def test_farthest_first_leaves_nobody_far_away() -> None:
    points = circle(0, 2, 4, 90, 92, 180)
    chosen = farthest_first(points, 3, seed=0)
    assert {int(at) // 3 if at < 5 else 2 for at in chosen} == {0, 1, 2}
    assert len(set(chosen.tolist())) == 3


def test_facility_location_takes_the_middle_of_each_group_and_heeds_worth() -> None:
    points = circle(0, 5, 10, 170, 175, 180)
    assert sorted(facility_location(points, 2).tolist()) == [1, 4]
    worth = [1, 0.1, 1, 1, 1, 1]
    assert 1 not in facility_location(points, 2, weights=worth)


def test_nearest_are_the_nearest_and_copies_are_none() -> None:
    points = circle(0, 1, 10, 90)
    places, cosines = nearest(points, 2)
    assert places[0].tolist() == [1, 2] and places[3].tolist() == [2, 1]
    assert cosines[0, 0] == pytest.approx(np.cos(np.radians(1)), abs=1e-6)
    places, cosines = nearest(points, 3, groups=[0, 0, 2, 3])
    assert places[0].tolist() == [2, 3, -1] and cosines[0, 2] == -1
    assert nearest(points, 1, of=circle(88))[0].tolist() == [[3]]


def test_neighbours_disagree_by_their_share() -> None:
    share, likely = disagreement(
        np.array([0, 1, 1]),
        np.array([[1, 2], [0, 2], [-1, -1]]),
        np.array([[0.5, 0.5], [0.5, 0.5], [-1, -1]], dtype=np.float32),
    )
    assert share.tolist() == pytest.approx([1, 0.5, 0]) and likely.tolist() == [1, 0, 1]


def test_clusters_are_numbered_by_size_and_the_map_keeps_the_widest_direction() -> None:
    points = circle(*range(0, 6), 90, 91)
    number, centres = clusters(points, 2, seed=0)
    assert number.tolist() == [0] * 6 + [1, 1] and centres.shape == (2, 2)
    spots, axes = plane(np.array([[0.0, 0, 0], [4, 1, 0], [8, 0, 0]], dtype=np.float32))
    assert abs(spots[2, 0] - spots[0, 0]) == pytest.approx(8, abs=0.01) and axes.shape == (2, 3)
