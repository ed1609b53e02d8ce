"""What a script's colors mean: the working space of its root, and the encoding that its plates had on disk."""

import os

import nuke
from expandnet_programs import ExpandNetError

AUTOMATIC = "auto (from the Read)"

CUSTOM = "custom"

LINEAR_REC709 = "linear-rec709"

NUKE_ENCODINGS = {
    "srgb": "srgb",
    "rec709": "rec709-scene",
    "bt1886": "bt1886",
    "gamma2.2": "gamma2.2",
    "gamma2.4": "gamma2.4",
    "linear": "linear",
    "none": "linear",
}
"""Names that a Read knows without OpenColorIO, and what they are to us; what is not here is not display-referred."""

WORKING_SPACES = {
    "acescg": "acescg",
    "aces - acescg": "acescg",
    "lin_ap1": "acescg",
    "lin_ap1_scene": "acescg",
    "aces2065-1": "aces2065-1",
    "aces - aces2065-1": "aces2065-1",
    "lin_ap0": "aces2065-1",
    "lin_ap0_scene": "aces2065-1",
    "linear rec.709 (srgb)": LINEAR_REC709,
    "utility - linear - srgb": LINEAR_REC709,
    "utility - linear - rec.709": LINEAR_REC709,
    "lin_rec709": LINEAR_REC709,
    "lin_rec709_scene": LINEAR_REC709,
    "linear": LINEAR_REC709,
}
"""Names of working spaces whose primaries are known without their config."""


def uses_ocio():
    """Tell whether the script is color managed by OpenColorIO."""
    knob = nuke.root().knob("colorManagement")
    return knob is not None and knob.value() == "OCIO"


def working_space():
    """Return the script's working space, as `--linearized` and `--output-space` name it.

    Nuke's own mode has no primaries of its own: its plates keep Rec.709's.
    """
    if not uses_ocio():
        return LINEAR_REC709
    knob = nuke.root().knob("workingSpaceLUT")
    name = plain_name(knob.value() if knob is not None else "scene_linear")
    return WORKING_SPACES.get(name.lower(), name)


def plain_name(name):
    """Return the space that a menu entry stands for: `scene_linear (ACES - ACEScg)` is ACES - ACEScg."""
    name = name.strip()
    if name.endswith(")") and " (" in name:
        head, _, inner = name[:-1].partition(" (")
        # "Linear Rec.709 (sRGB)" is one name, roles are written with small letters and underscores.
        if head.replace("_", "").isalpha() and head == head.lower():
            return inner
    return name.split("/")[-1]


REC709_PRIMARIES = ("srgb", "rec709-scene", "bt1886", "gamma2.2", "gamma2.4", "linear")
"""Encodings whose primaries are those of Rec.709."""


def mixes_channels(color):
    """Tell whether a channel of the plate has a part in all channels of the working space.

    Args:
        color: see `expandnet_knobs.color_of`.
    """
    return color["linearized"] != LINEAR_REC709 or color["input_space"] not in REC709_PRIMARIES


def plate_name(node):
    """Return what tells the plate of a node from others: the files of the Reads that it comes from, as they are written."""
    return sorted(read["file"].value() for read in sources(node))


def config_path():
    """Return the config in force, None outside OpenColorIO; a worker may have been started under another $OCIO.

    Raises:
        ExpandNetError: the script names one that is not there.
    """
    if not uses_ocio():
        return None
    if os.environ.get("OCIO"):
        return os.environ["OCIO"]
    root = nuke.root()
    chosen = root["OCIO_config"].value()
    if chosen == "custom":
        path = _evaluated(root["customOCIOConfigPath"])
        if not path or not os.path.isfile(path):
            raise ExpandNetError("OCIO config %s: not there; see the project settings" % (path or "(none named)"))
        return path
    # Where those that come with Nuke lie is for it to say.
    knob = root.knob("OCIOConfigPath")
    path = None if knob is None else _evaluated(knob)
    if not path:
        raise ExpandNetError("OCIO config %s: Nuke does not say where it lies; name it as a custom one" % chosen)
    return path


def plate_encoding(node, chosen, custom):
    """Return the encoding that the plate had before Nuke made it linear, as `--input-space` names it.

    Args:
        node: the ExpandNet node.
        chosen: what its knob says.
        custom: the name to use for `CUSTOM`.

    Raises:
        ExpandNetError: it cannot be told, or is not display-referred.
    """
    if chosen == CUSTOM:
        if not custom.strip():
            raise ExpandNetError("Plate encoding: custom needs a name, such as one of the OCIO config")
        return custom.strip()
    if chosen != AUTOMATIC:
        return chosen
    reads = sources(node)
    names = sorted({read["colorspace"].value() for read in reads if not _raw(read)})
    if len(names) != 1:
        found = "%d encodings" % len(names) if names else "no Read that says"
        raise ExpandNetError("Plate encoding: %s upstream; choose it in the menu" % found)
    return read_encoding(names[0])


def read_encoding(name):
    """Return our name for what a Read's colorspace says."""
    name = plain_name(name[len("default (") : -1] if name.startswith("default (") else name)
    if uses_ocio():
        return name
    known = NUKE_ENCODINGS.get(name.lower())
    if known is None:
        raise ExpandNetError(
            "Plate encoding: %s is not display-referred, or not known; choose the plate's in the menu" % name
        )
    return known


def sources(node):
    """Return the Reads that the plate comes from: all upstream, through every input."""
    found, seen, waiting = [], set(), [node.input(0)]
    while waiting:
        upstream = waiting.pop()
        if upstream is None or upstream.fullName() in seen:
            continue
        seen.add(upstream.fullName())
        if upstream.Class() == "Read":
            found.append(upstream)
        waiting += [upstream.input(i) for i in range(upstream.inputs())]
    return found


def _evaluated(knob):
    """Return a file knob's path with its expressions worked out."""
    return knob.getEvaluatedValue()


def _raw(read):
    knob = read.knob("raw")
    return knob is not None and bool(knob.value())
