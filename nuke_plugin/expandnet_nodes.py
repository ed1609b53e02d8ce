"""Nodes of the open script: which there are, what tells them apart, where their files lie and what they say."""

import os
import re

import expandnet_knobs
import expandnet_scratch
import nuke
from expandnet_client import ExpandNetError

CLASS = "ExpandNet"

COLORS = {"idle": 0, "busy": 0xB08020FF, "error": 0xA02020FF}
"""Tile colors; 0 is the host's own."""


def folder_of(node):
    """Return the node's folder for its settings as they are; raise `ExpandNetError` if it cannot be told."""
    scratch = node["scratch"].evaluate() or expandnet_scratch.default_folder()
    if not os.path.isabs(scratch):
        raise ExpandNetError("Scratch folder %s: not an absolute path; save the script, or name another" % scratch)
    key = expandnet_scratch.settings_key(expandnet_knobs.state_of(node, expandnet_knobs.color_of(node)))
    return expandnet_scratch.NodeFolder(scratch, node["node_id"].value(), key, nuke.views())


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
    """Give a node its own folder before anything is written: without an interface nobody was told that it was made."""
    if not is_identified(node):
        node["node_id"].setValue(expandnet_knobs.new_identifier())


def is_identified(node):
    """Tell whether a node has an identity, and no other node of the script the same."""
    identifier = node["node_id"].value()
    named = expandnet_scratch.NODE.match(identifier) is not None
    return named and all(other["node_id"].value() != identifier for other in others_of(node))


def write_plate(node, folder, frame, view):
    """Write what upstream gives at a frame, at full size, into a folder of the node.

    Raises:
        ExpandNetError: the node is gone, or nothing was written.
    """
    if node is None:
        raise ExpandNetError("the node was deleted, or its script closed")
    path = folder.plate(frame, view)
    if os.path.exists(path):
        # One that stays where the Write fails would be taken for what upstream gives now.
        os.remove(path)
    # A knob that was turned since may have led it to another folder.
    node["plate_file"].setValue(folder.plates)
    root = nuke.root()
    write = node.node("PlateWrite")
    write["channels"].setValue("rgba" if node["premultiplied"].value() else "rgb")
    proxy = root.proxy()
    root.setProxy(False)
    # Enabled for this moment only: a render of all Writes of a script must pass it by.
    write["disable"].setValue(False)
    try:
        nuke.execute(write, frame, frame, 1, [view])
    finally:
        write["disable"].setValue(True)
        root.setProxy(proxy)
    if not os.path.exists(path):
        raise ExpandNetError("frame %d: the plate was not written to %s" % (frame, path))


def say(node, text, state):
    """Show a text on a node; `state` is one of `COLORS`."""
    node["status"].setValue(text)
    node["failed"].setValue(state == "error")
    node["tile_color"].setValue(COLORS[state])


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
    return nuke.allNodes(CLASS, group=nuke.root(), recurseGroups=True)


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


def show(node, plates, results):
    """Point a node at plates and results."""
    for knob, path in (("plate_file", plates), ("result_file", results)):
        if node[knob].value() != path:
            node[knob].setValue(path)


def adopt(node):
    """Give a copied node an identity of its own, and let it show what the node it was copied from has computed."""
    identifier, fresh = node["node_id"].value(), expandnet_knobs.new_identifier()
    before = node["result_file"].value()
    node["node_id"].setValue(fresh)
    for knob in ("plate_file", "result_file"):
        node[knob].setValue(node[knob].value().replace(identifier, fresh))
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
