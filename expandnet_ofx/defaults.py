"""Defaults that help texts name as well: nothing is loaded for them."""

WINDOW = 9
"""Frames that a shot is smoothed over."""
