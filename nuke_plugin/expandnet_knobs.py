"""The node's knobs: what each means to the worker, and how nodes of old scripts are brought up to date.

Names are in scripts for ever: none is renamed, none is given another meaning. What changes gets a new `VERSION` and a step
in `upgrade`.
"""

import uuid

import expandnet_color
from expandnet_programs import ExpandNetError

VERSION = 1

SETTINGS = (
    "threshold",
    "full",
    "stops",
    "boldness",
    "sun_stops",
    "saturation",
    "saturated_max_stops",
    "merge",
    "merge_channels",
    "latlong",
    "force",
    "engine",
    "precision",
)
"""Knobs that go to the worker under the name of a setting, as they are."""

OF_THE_RESULT = ("stops", "max_stops", "saturated_max_stops", "saturation")
"""Settings that no analysis depends on: only these may be animated over a steady shot."""

STEADY_OFF, STEADY_WINDOW, STEADY_LOCK = "off", "window", "lock frame"


def value_at(node, name, frame):
    """Return a knob's value at a frame, as plain data."""
    knob = node[name]
    if hasattr(knob, "enumName") or not hasattr(knob, "valueAt"):
        return knob.value()
    value = knob.valueAt(frame)
    return bool(value) if knob.Class() == "Boolean_Knob" else value


def settings_at(node, frame, color):
    """Return the worker's settings for a frame.

    Args:
        color: encoding, working space and config, see `color_of`.
    """
    found = {name: value_at(node, name, frame) for name in SETTINGS}
    found["max_stops"] = value_at(node, "max_stops", frame) if node["limit"].value() else None
    found["weights"] = node["weights"].evaluate() or None
    if found["weights"]:
        # Weights of one's own may have no such knob; the worker says so if it is turned.
        found["boldness"] = found["boldness"] if node["own_boldness"].value() else None
    found.update(color)
    found["output_space"] = color["linearized"]
    found["compression"] = "none"
    found["matte"] = True
    return found


def color_of(node):
    """Return what the worker needs to know about the script's colors; raise `ExpandNetError` if it cannot be told."""
    encoding = expandnet_color.plate_encoding(node, node["encoding"].value(), node["encoding_name"].value())
    return {
        "input_space": encoding,
        "linearized": expandnet_color.working_space(),
        "ocio": expandnet_color.config_path(),
    }


STATE = SETTINGS + (
    "max_stops",
    "limit",
    "weights",
    "own_boldness",
    "premultiplied",
    "steady",
    "steady_window",
    "lock_frame",
    "cuts",
)
"""Knobs that decide about results."""


def state_of(node, color):
    """Return all that decides about the node's results beside the plate's content, as plain data: animation included."""
    knobs = {name: node[name].toScript() for name in STATE}
    return {"knobs": knobs, "color": color, "plate": expandnet_color.plate_name(node), "version": VERSION}


def steady_of(node):
    """Return how the shot is to be steadied, None for each frame by itself; raise `ExpandNetError` if cuts are none."""
    how = node["steady"].value()
    if how == STEADY_OFF:
        return None
    try:
        cuts = [int(word) for word in node["cuts"].value().replace(",", " ").split()]
    except ValueError:
        raise ExpandNetError("Cuts %s: write them like 1025 1060" % node["cuts"].value())
    window = int(node["steady_window"].value()) if how == STEADY_WINDOW else 1
    lock = int(node["lock_frame"].value()) if how == STEADY_LOCK else None
    return {"window": window, "lock_frame": lock, "cuts": cuts or None}


def animated(node):
    """Return the first knob that a steady shot cannot have animated, None if there is none."""
    names = [name for name in SETTINGS if name not in OF_THE_RESULT]
    return next((name for name in names if node[name].isAnimated()), None)


def new_identifier():
    """Return an identifier that no other node has."""
    return "n" + uuid.uuid4().hex[:16]


def upgrade(node):
    """Bring the knobs of a node of an older script up to date; return the version it had."""
    version = int(node["version"].value() or 0)
    if version < VERSION:
        node["version"].setValue(VERSION)
    return version
