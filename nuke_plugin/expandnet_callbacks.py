"""What a host calls by itself: nodes that come, knobs that change, scripts that are opened and saved. Standard library only.

Each brings nodes up to date: which results they show, and what they say of them.
"""

import expandnet_color
import expandnet_knobs
import expandnet_scratch
import nuke
from expandnet_job import running
from expandnet_nodes import (
    SESSION,
    adopt,
    all_nodes,
    as_ranges,
    comes_from_another,
    folder_of,
    frames_of,
    is_identified,
    reload_result,
    say,
    script_name,
    set_knobs,
    show,
    shown_views,
)
from expandnet_programs import ExpandNetError

TOLD = ("inputChange", "showPanel")
"""What a host tells like a knob."""

REFRESHING = TOLD + ("scratch", "encoding", "encoding_name", "frames")
"""After these the node looks again, and after the knobs that decide about results."""

SCRIPT_KNOBS = ("colorManagement", "OCIO_config", "workingSpaceLUT", "customOCIOConfigPath", "views")
"""Knobs of a script that say what its colors are, and which views it has."""

_seen = {}  # type: dict[str, set[str]]
"""Results that were there when a node looked last, by its identifier: the host keeps in mind that a file was missing."""


def created(node):
    """Callback of a new, pasted or loaded node: give it an identity of its own, and bring it up to date."""
    if not nuke.GUI:
        # A render only reads: what the script says was computed is what it shows.
        return
    expandnet_knobs.upgrade(node)
    script = script_name()
    if not expandnet_scratch.NODE.match(node["node_id"].value()):
        set_knobs(node, {"node_id": expandnet_knobs.new_identifier()})
    elif not is_identified(node) or (script and comes_from_another(node)):
        # A copy, of a node of this script or of another one.
        adopt(node)
    else:
        # While a script loads nothing is connected yet, and perhaps it has no name yet; a node of a script shows what it
        # showed when that was saved.
        return
    set_knobs(node, {"of_script": script or SESSION})
    refresh(node)


def changed(node, knob):
    """Callback of a knob: what is computed under other settings is another folder, so the node shows what holds now."""
    if not nuke.GUI:
        # As in `created`: what a pipeline sets before a render must not lead it to another folder.
        return
    name = knob.name()
    if name in REFRESHING or name in expandnet_knobs.STATE:
        refresh(node, turned=name not in TOLD)


def refresh(node, turned=False):
    """Point the node at the results of its settings, and say how far they are.

    Args:
        turned: the artist set something; then results of before do not hold, even if it cannot be told which do. While a
            script loads, what is upstream may only be missing yet.
    """
    if node.input(0) is None:
        say(node, "connect a plate", "idle")
        return
    try:
        folder = folder_of(node)
    except ExpandNetError as error:
        if turned:
            show(node, None)
        say(node, str(error), "error")
        return
    show(node, folder)
    _look_again(node, folder)
    try:
        text = describe(node, folder)
    except ExpandNetError as error:
        say(node, str(error), "error")
        return
    if node["node_id"].value() not in running:
        say(node, text, "idle")


def _look_again(node, folder):
    """Let the host read again where results have come or gone since: a farm, a terminal or another session makes them."""
    there = {folder.result(frame, view) for view in shown_views() for frame in folder.frames(view)}
    identifier = node["node_id"].value()
    if _seen.get(identifier, there) != there:
        reload_result(node)
    _seen[identifier] = there


def settle(*_):
    """Callback of a script that was opened or is saved: nodes that came from another script leave its folders to it."""
    script = script_name()
    # What runs goes on under the identity that it began with.
    for node in [node for node in all_nodes() if script and node["node_id"].value() not in running]:
        if comes_from_another(node) and is_identified(node):
            adopt(node)
            refresh(node)
        set_knobs(node, {"of_script": script})


def opened(*_):
    """Callback of a script that was opened: what is computed may have come or gone since it was saved."""
    settle()
    refresh_all()


def refresh_all():
    """Bring all nodes of the script up to date."""
    if nuke.GUI:
        for node in all_nodes():
            refresh(node)


def recolored(*_):
    """Callback of a knob of the script: under other colors other results hold, and each view has its own."""
    knob = nuke.thisKnob()
    if knob is not None and knob.name() in SCRIPT_KNOBS:
        refresh_all()


def repointed(*_):
    """Callback of a knob of a Read: another plate, or another encoding, has other results."""
    knob = nuke.thisKnob()
    if nuke.GUI and knob is not None and knob.name() in ("file", "colorspace", "raw"):
        read = nuke.thisNode().fullName()
        for node in all_nodes():
            if any(source.fullName() == read for source in expandnet_color.sources(node)):
                refresh(node)


def describe(node, folder):
    """Return how far the frames of a node are, in a few words."""
    wanted = frames_of(node)
    there = set.intersection(*(set(folder.frames(view)) for view in shown_views()))
    done = [frame for frame in wanted if frame in there]
    text = "%d of %d frames computed" % (len(done), len(wanted))
    if done:
        text += " (%s)" % as_ranges(done)
    if len(done) < len(wanted):
        text += "; others show the plate"
    alone = sorted(there & folder.alone())
    return text + ("; %s not as part of the shot as it is analyzed" % as_ranges(alone) if alone else "")
