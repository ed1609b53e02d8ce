"""What is wanted is covered with few pixels beside it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expandnet_ofx import boxes
from expandnet_ofx.boxes import LOWEST_PART, STEP, WORTH, cover, cut


@given(
    seed=st.integers(0, 10**6),
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    blobs=st.integers(0, 6),
    halo=st.sampled_from([8, 48]),
)
@settings(max_examples=60, deadline=None)
def test_boxes_cover_what_is_wanted_cheaply_and_in_few_shapes(seed, height, width, blobs, halo):
    rng = np.random.default_rng(seed)
    wanted = np.zeros((height, width), bool)
    for _ in range(blobs):
        y, x = rng.integers(height), rng.integers(width)
        wanted[y : y + rng.integers(1, 90), x : x + rng.integers(1, 90)] = True
    cost, found = 0, cover(wanted, halo=halo)
    for rows, columns in found:
        assert 0 <= rows.start < rows.stop <= height and 0 <= columns.start < columns.stop <= width
        for side, length in ((rows, height), (columns, width)):
            assert (side.stop - side.start) % STEP == 0 or side.stop - side.start == length
        cost += (rows.stop - rows.start + 2 * halo) * (columns.stop - columns.start + 2 * halo)
    assert not (wanted & ~covered_by(found, wanted.shape)).any()
    assert cost <= (height + 2 * halo) * (width + 2 * halo)
    assert bool(cost) == bool(wanted.any())
    if halo > STEP:
        # What is worth a search is an estimate then.
        return
    assert WORTH * cost <= min(
        [one_box(wanted, halo)]
        + [
            one_box(wanted[:k], halo, (height, width)) + one_box(wanted[k:], halo, (height, width))
            for k in range(height)
        ]
        + [
            one_box(wanted[:, :k], halo, (height, width)) + one_box(wanted[:, k:], halo, (height, width))
            for k in range(width)
        ]
    )


@pytest.mark.parametrize(("halo", "share"), [(8, 1e-3), (48, 1e-4)])
def test_among_specks_the_search_ends(halo, share, monkeypatch):
    wanted = np.random.default_rng(1).random((1024, 1024)) < share
    looked, look = [], boxes._best_cut

    def counted(part, *rest):
        looked.append(part.size)
        return look(part, *rest)

    monkeypatch.setattr(boxes, "_best_cut", counted)
    found = boxes.cover(wanted, halo=halo)
    # Rows and columns of each part, and no pixel in more parts than there are cuts.
    assert 0 < sum(looked) <= 2 * boxes.DEEPEST * wanted.size
    assert np.array_equal(wanted, wanted & covered_by(found, wanted.shape))


def covered_by(found, shape):
    covered = np.zeros(shape, bool)
    for box in found:
        covered[box] = True
    return covered


def one_box(wanted: np.ndarray, halo: int, whole: tuple[int, int] | None = None) -> int:
    """What the least box around all that is wanted costs; edges are no longer than those of the whole."""
    if not wanted.any():
        return 0
    edges = [at.max() + 1 - at.min() for at in wanted.nonzero()]
    return math.prod(
        min(math.ceil(edge / STEP) * STEP, most) + 2 * halo
        for edge, most in zip(edges, whole or wanted.shape, strict=True)
    )


@given(
    given_boxes=st.lists(
        st.tuples(st.integers(0, 400), st.integers(1, 400), st.integers(0, 400), st.integers(1, 400)),
        min_size=1,
        max_size=6,
    ),
    parts=st.integers(1, 16),
)
def test_boxes_are_cut_for_as_many_workers_and_not_too_low(given_boxes, parts):
    given_ = [(slice(y, y + height), slice(x, x + width)) for y, height, x, width in given_boxes]
    found = cut(given_, parts=parts)
    for rows, columns in given_:
        own = [one for one in found if one[1] == columns and rows.start <= one[0].start and one[0].stop <= rows.stop]
        assert set(range(rows.start, rows.stop)) <= {y for one, _ in own for y in range(one.start, one.stop)}
    # A box just above it is cut in two.
    assert all(rows.stop - rows.start >= LOWEST_PART // 2 or (rows, columns) in given_ for rows, columns in found)
    share = sum(height * width for _, height, _, width in given_boxes) / parts
    for rows, columns in found:
        height, width = rows.stop - rows.start, columns.stop - columns.start
        assert (height - 1) * width < share or height <= LOWEST_PART


def test_a_large_ring_is_cheaper_in_its_sides():
    wanted = np.zeros((400, 400), bool)
    wanted[:4] = wanted[-4:] = wanted[:, :4] = wanted[:, -4:] = True
    assert (
        sum(
            (rows.stop - rows.start + 16) * (columns.stop - columns.start + 16)
            for rows, columns in cover(wanted, halo=8)
        )
        < 0.5 * 416**2
    )
