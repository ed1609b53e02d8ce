"""Time code of a movie's frames, as image files store it."""

from __future__ import annotations

import re
from fractions import Fraction


def time_code(first: str, frame: int, fps: Fraction) -> int | None:
    """Return the time code of a frame as SMPTE ST 12-1 packs it, binary-coded decimals in 32 bits.

    Drop frame (;) leaves out the first two numbers of each minute but every tenth (ST 12-1, 5.2.2): ten minutes
    hold 17,982 frames at 29.97 per second.

    Args:
        first: of the movie's first frame, HH:MM:SS:FF or HH:MM:SS;FF.
        frame: counted from 0.
        fps: frames per second.

    Returns:
        None where the text is none, or the rate is above 39, whose numbers do not fit.
    """
    found = re.fullmatch(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d)", first.strip())
    rate = round(fps)
    if found is None or not 1 <= rate <= 39:
        return None
    hours, minutes, seconds, number = (int(found[k]) for k in (1, 2, 3, 5))
    dropped = 2 if found[4] != ":" and rate == 30 else 0
    minutes += 60 * hours
    count = (60 * minutes + seconds) * rate + number - dropped * (minutes - minutes // 10) + frame
    if dropped:
        tens, rest = divmod(count, 10 * 60 * rate - 9 * dropped)
        count += dropped * (9 * tens + max(0, (rest - dropped) // (60 * rate - dropped)))
    count, number = divmod(count, rate)
    parts = [number, count % 60, count // 60 % 60, count // 3600 % 24]
    packed = sum((part // 10 << 4 | part % 10) << 8 * k for k, part in enumerate(parts))
    return packed | (1 << 6 if dropped else 0)
