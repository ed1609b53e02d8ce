"""Nodes of the open script: which there are, what tells them apart, where their files lie and what they say."""

import os
import re
from contextlib import contextmanager

import expandnet_color
import expandnet_knobs
import expandnet_scratch
import nuke
from expandnet_programs import Busy, Cancelled, ExpandNetError

CLASS = "ExpandNet"

COLORS = {"idle": 0, "busy": 0xB08020FF, "error": 0xA02020FF}
"""Tile colors; 0 is the host's own."""


SESSION = "unsaved-" + expandnet_knobs.new_identifier()
"""Stands for the script of this session as long as it has no name."""

NOT_COMPUTED = "not-computed.%04d.exr"
"""Shown where it cannot be told which results hold: a file that is never there, so that renders fail with its name."""


@contextmanager
def without_undo():
    """Keep what a node does by itself out of what an artist takes back."""
    if nuke.Undo.disabled():
        yield
        return
    nuke.Undo.disable()
    try:
        yield
    finally:
        nuke.Undo.enable()


def folder_of(node):
    """Return the node's folder for its settings as they are; raise `ExpandNetError` if it cannot be told."""
    scratch = node["scratch"].evaluate() or expandnet_scratch.default_folder()
    if not os.path.isabs(scratch):
        raise ExpandNetError("Scratch folder %s: not an absolute path; save the script, or name another" % scratch)
    if "%v" in scratch.lower() or "%0" in scratch:
        raise ExpandNetError("Scratch folder %s: no place for frames or views, whose files it holds" % scratch)
    state = expandnet_knobs.state_of(node, expandnet_knobs.color_of(node))
    key, plates = (expandnet_scratch.settings_key(part) for part in (state, state["plate"]))
    return expandnet_scratch.NodeFolder(scratch, node["node_id"].value(), key, plates, nuke.views())


def frames_of(node):
    """Return the frames of the node's range, ascending; raise `ExpandNetError` if it is none."""
    text = node["frames"].value().strip()
    if not text:
        return list(range(nuke.root().firstFrame(), nuke.root().lastFrame() + 1))
    found = set()  # type: set[int]
    for word in text.replace(",", " ").split():
        match = re.match(r"^(-?\d+)(?:-(-?\d+)(?:x(\d+))?)?$", word)
        if match is None or match.group(3) == "0":
            raise ExpandNetError("Frames %s: write them like 1001-1100, 1001-1100x2 or 1001 1005" % text)
        first = int(match.group(1))
        last = first if match.group(2) is None else int(match.group(2))
        found.update(range(first, last + 1, int(match.group(3) or 1)))
    if not found:
        raise ExpandNetError("Frames %s: holds none; write them like 1001-1100" % text)
    return sorted(found)


def identify(node):
    """Give a node its own folder before anything is written: without an interface nobody was told that it was made.

    The folder of a node of another script is not its own, and one that another user made may not be writable.
    """
    if not is_identified(node):
        set_knobs(node, {"node_id": expandnet_knobs.new_identifier()})
    elif nuke.GUI and (comes_from_another(node) or not folder_of(node).is_writable()):
        # In a terminal a script may lie elsewhere than where it was saved, and is not saved again.
        adopt(node)


def comes_from_another(node):
    """Tell whether a node was copied from another script, or this one was saved under another name."""
    return node["of_script"].value() not in ("", SESSION, script_name())


def is_identified(node):
    """Tell whether a node has an identity, and no other node of the script the same."""
    identifier = node["node_id"].value()
    named = expandnet_scratch.NODE.match(identifier) is not None
    return named and all(other["node_id"].value() != identifier for other in others_of(node))


def write_plate(node, folder, frame, view):
    """Write what upstream gives at a frame, at full size, into a folder of the node.

    Raises:
        Busy: the host renders something else.
        Cancelled: the artist stopped it in the host's own way.
        ExpandNetError: the node is gone, or nothing was written.
    """
    if node is None:
        raise ExpandNetError("the node was deleted, or its script closed")
    if nuke.executing():
        raise Busy("frame %d: Nuke renders something else" % frame)
    path = folder.plate(frame, view)
    if os.path.exists(path):
        # One that stays where the Write fails would be taken for what upstream gives now.
        os.remove(path)
    with without_undo():
        # A knob that was turned since may have led it to another folder.
        node["plate_file"].setValue(folder.plates)
        _execute(node, frame, view)
    if not os.path.exists(path):
        raise ExpandNetError("frame %d: the plate was not written to %s" % (frame, path))


def _execute(node, frame, view):
    """Let the Write inside the node write a frame at full size."""
    root, write = nuke.root(), node.node("PlateWrite")
    write["channels"].setValue("rgba" if node["premultiplied"].value() else "rgb")
    proxy = root.proxy()
    if proxy:
        root.setProxy(False)
    # Enabled for this moment only: a render of all Writes of a script must pass it by.
    write["disable"].setValue(False)
    try:
        nuke.execute(write, frame, frame, 1, [view])
    except RuntimeError as error:
        if str(error).lower().startswith("cancel"):
            raise Cancelled("cancelled")
        if "already executing" in str(error):
            raise Busy("frame %d: Nuke renders something else" % frame)
        raise
    finally:
        write["disable"].setValue(True)
        if proxy:
            root.setProxy(True)


def say(node, text, state):
    """Show a text on a node; `state` is one of `COLORS`."""
    # What does not change is not set: a script that is only opened would count as changed.
    set_knobs(node, {"status": text, "failed": state == "error", "tile_color": COLORS[state]})


def set_knobs(node, values):
    """Give knobs of a node values, those that they do not have already, as nothing that an artist takes back."""
    with without_undo():
        for name, value in values.items():
            if node[name].value() != value:
                node[name].setValue(value)


def status_of(node):
    """Return what a node says."""
    return node["status"].value()


def reload_result(node):
    """Let a node look at its results again."""
    reader = node.node("ResultRead")
    reader["reload"].execute()


def shown_views():
    """Return the views of the script."""
    return list(nuke.views()) or ["main"]


def all_nodes():
    """Return the nodes of the script, those inside groups too."""
    # Without the root it would be the group that the interface shows.
    found = nuke.allNodes(CLASS, group=nuke.root(), recurseGroups=True)
    # Nuke turns a gizmo into a group on request, knobs and all.
    groups = nuke.allNodes("Group", group=nuke.root(), recurseGroups=True)
    return found + [
        group for group in groups if group.knob("node_id") is not None and group.knob("result_file") is not None
    ]


def find_node(identifier):
    """Return the node of an identity, None where it is gone."""
    return next((node for node in all_nodes() if node["node_id"].value() == identifier), None)


def others_of(node):
    """Return the other nodes of the script."""
    return [other for other in all_nodes() if other.fullName() != node.fullName()]


def script_name():
    """Return what tells the open script from others: its name without versions, empty as long as it has none.

    With three folders above, which tell the shot; what lies before them differs between machines.
    """
    words = expandnet_scratch.posix(nuke.root()["name"].value()).split("/")
    return re.sub(r"(?i)(?<![a-z])v\d+", "v#", "/".join(words[-4:]))


def show(node, folder):
    """Point a node at the plates and results of a folder, None for none, and put channels together as they come."""
    if folder is None:
        set_knobs(node, {"plate_file": "", "result_file": NOT_COMPUTED})
        return
    mixed = expandnet_color.mixes_channels(expandnet_knobs.color_of(node))
    set_knobs(node, {"plate_file": folder.plates, "result_file": folder.results, "channels_mix": mixed})


def adopt(node):
    """Give a copied node an identity of its own, and let it show what the node it was copied from has computed."""
    identifier, fresh = node["node_id"].value(), expandnet_knobs.new_identifier()
    before = node["result_file"].value()
    moved = {knob: node[knob].value().replace(identifier, fresh) for knob in ("plate_file", "result_file")}
    set_knobs(node, dict(moved, node_id=fresh))
    expandnet_scratch.link_files(os.path.dirname(before), os.path.dirname(node["result_file"].value()))


def as_ranges(frames):
    """Return ascending numbers as `1001-1005, 1009`."""
    runs = []  # type: list[list[int]]
    for frame in frames:
        if runs and frame == runs[-1][1] + 1:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    return ", ".join("%d" % a if a == b else "%d-%d" % (a, b) for a, b in runs)
