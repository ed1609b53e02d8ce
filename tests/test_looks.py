"""What frames look like, and where a shot is cut."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from pictures import scenery
from steadied import seen

from expandnet_ofx.looks import LIKELY_CUT, SURE_CUT, Look, distance, find_cuts, look_at


def test_a_frame_is_near_itself_its_neighbors_and_its_exposures_and_far_from_others() -> None:
    own = seen(0)
    assert distance(own, own) == 0
    assert distance(own, seen(0, noise=0.01)) < 0.01
    assert distance(own, seen(0, shift=2)) < 0.05
    assert distance(own, seen(0, gain=0.9)) < 0.1
    for other in range(1, 6):
        assert distance(own, seen(other)) == distance(seen(other), own) > 0.5
    dark, bright = (look_at(np.full((256, 256, 3), value, np.float32)) for value in (0.1, 0.9))
    assert distance(dark, bright) > 0.5, "by their tones"
    flat = look_at(np.full((256, 256, 3), 0.4, np.float32))
    assert distance(flat, look_at(np.full((256, 256, 3), 0.41, np.float32))) < 0.05


def test_cuts_are_found_and_pans_flashes_and_fades_are_none() -> None:
    pan = [seen(0, shift=2 * k, noise=0.01) for k in range(12)]
    fade = [seen(1, gain=1 - k / 30) for k in range(10)]
    whip = [seen(2, shift=14 * k) for k in range(8)]
    assert find_cuts(pan) == find_cuts(fade) == find_cuts(whip) == []
    fast = [seen(2, shift=26 * k) for k in range(8)]
    assert min(distance(*pair) for pair in pairwise(fast)) > LIKELY_CUT
    assert find_cuts(fast) == [], "each step is as far as the others"
    mixed = look_at((0.4 * scenery(0) + 0.6 * scenery(1))[:, :256].astype(np.float32))
    assert LIKELY_CUT < distance(seen(0), mixed) < SURE_CUT
    assert find_cuts([seen(0)] * 5 + [mixed] * 5) == [5], "it stands out"
    flash = [seen(3, gain=1.2 if k == 4 else 0.8) for k in range(9)]
    assert find_cuts(flash) == []
    assert find_cuts(pan + fade + whip) == [12, 22]
    assert find_cuts([seen(k) for k in range(6)]) == [1, 2, 3, 4, 5], "photographs are no shot"
    assert find_cuts(pan[:1]) == find_cuts([]) == []


def test_a_look_survives_its_file() -> None:
    look = seen(4)
    assert Look.from_dict(json.loads(json.dumps(look.to_dict()))) == look
    with pytest.raises(ValueError, match="another size"):
        Look.from_dict({"thumbnail": "00", "histogram": "00"})
