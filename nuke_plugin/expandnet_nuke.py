"""What the buttons and callbacks of ExpandNet.gizmo do. Standard library only, Python 3.7 and later.

The gizmo's own scripts are one call each, so that nodes of old scripts run the code that is installed. In a terminal,
`nuke -t expandnet_nuke.py comp.nk --frames=1001-1100 [NODE ...]` computes what `nuke -x` then reads.
"""

import os
import pathlib
import re
import sys
import webbrowser

import expandnet_color
import expandnet_farm
import expandnet_knobs
import expandnet_scratch
import nuke
from expandnet_client import ExpandNetError, Pool
from expandnet_job import Job, Plan

CLASS = "ExpandNet"

COLORS = {"idle": 0, "busy": 0xB08020FF, "error": 0xA02020FF}
"""Tile colors; 0 is the host's own."""

TOLD = ("inputChange", "showPanel")
"""What a host tells like a knob."""

REFRESHING = TOLD + ("scratch", "encoding", "encoding_name", "frames")
"""After these the node looks again, and after the knobs that decide about results."""

COLOR_KNOBS = ("colorManagement", "OCIO_config", "workingSpaceLUT", "customOCIOConfigPath")
"""Knobs of a script that say what its colors are."""

_jobs = {}  # type: dict[str, Job]
"""What runs, by the identifier of its node: names change, and another script may have the same."""
_pool = Pool()


def created(node):
    """Callback of a new, pasted or loaded node: give it an identity of its own, and bring it up to date."""
    if not nuke.GUI:
        # A render only reads: what the script says was computed is what it shows.
        return
    expandnet_knobs.upgrade(node)
    identifier = node["node_id"].value()
    if not expandnet_scratch.NODE.match(identifier):
        node["node_id"].setValue(expandnet_knobs.new_identifier())
        refresh(node)
    elif not _is_identified(node):
        _adopt(node)
        refresh(node)
    # While a script loads nothing is connected yet; a node of a script shows what it showed when that was saved.


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
        _say(node, "connect a plate", "idle")
        return
    try:
        folder = folder_of(node)
    except ExpandNetError as error:
        if turned:
            _show(node, "", "")
        _say(node, str(error), "error")
        return
    _show(node, folder.plates, folder.results)
    try:
        text = describe(node, folder)
    except ExpandNetError as error:
        _say(node, str(error), "error")
        return
    if node["node_id"].value() not in _jobs:
        _say(node, text, "idle")


def settle(*_):
    """Callback of a script that was opened or is saved: nodes that came from another script leave its folders to it."""
    script = _script()
    # What runs goes on under the identity that it began with.
    for node in [node for node in _all() if script and node["node_id"].value() not in _jobs]:
        known = node["of_script"].value()
        if known not in ("", script) and _is_identified(node):
            _adopt(node)
        if known != script:
            # Else a script that is only opened would count as changed.
            node["of_script"].setValue(script)


def recolored(*_):
    """Callback of a knob of the script: under other colors other results hold."""
    knob = nuke.thisKnob()
    if knob is not None and knob.name() in COLOR_KNOBS:
        for node in _all():
            refresh(node)


def describe(node, folder):
    """Return how far the frames of a node are, in a few words."""
    wanted = frames_of(node)
    there = set.intersection(*(set(folder.frames(view)) for view in _views()))
    done = [frame for frame in wanted if frame in there]
    text = "%d of %d frames computed" % (len(done), len(wanted))
    if done:
        text += " (%s)" % _ranges(done)
    if len(done) < len(wanted):
        text += "; others show the plate"
    alone = sorted(there & folder.alone())
    return text + ("; %s by itself, not as part of the shot" % _ranges(alone) if alone else "")


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


def render_range(node):
    """Button: expand the frames of the range; return the job, None if it did not start."""
    return _begin(node, lambda: _plan(node, frames_of(node), expandnet_knobs.steady_of(node)))


def analyze_range(node):
    """Button: analyze the range, so that single frames come out as they will in the shot."""
    alone = {"window": 1, "lock_frame": None, "cuts": None}
    return _begin(node, lambda: _plan(node, frames_of(node), expandnet_knobs.steady_of(node) or alone, expands=False))


def render_frame(node):
    """Button: expand the frame that is shown: as part of the shot where that is analyzed, else by itself."""
    return _begin(node, lambda: _plan(node, [nuke.frame()], None))


def send_to_farm(node):
    """Button: write the plates and a farm job for the range; the comp's render waits for it."""

    def planned():
        plan = _plan(node, frames_of(node), expandnet_knobs.steady_of(node))
        plan.hand_over = expandnet_farm.hand_over(node, plan)
        return plan

    return _begin(node, planned)


def cancel(node):
    """Button: stop what runs for this node."""
    job = _jobs.get(node["node_id"].value())
    if job is not None:
        job.cancel()


def clear_cache(node):
    """Button: remove the plates and results of this node."""
    try:
        if node["node_id"].value() in _jobs:
            raise ExpandNetError("Clear: cancel what runs first")
        folder_of(node).clear()
        _reload(node)
        refresh(node)
    except ExpandNetError as error:
        _say(node, str(error), "error")


def open_report(node):
    """Button: show what the worker said about the frames of the last run."""
    try:
        path = folder_of(node).report
        if not os.path.isfile(path):
            raise ExpandNetError("Report: nothing was rendered under these settings yet")
        webbrowser.open(pathlib.Path(path).as_uri())
    except ExpandNetError as error:
        _say(node, str(error), "error")


def _begin(node, planned):
    """Start a job for a node by the plan that a call makes; a reason why not goes to the node."""
    try:
        if node["node_id"].value() in _jobs:
            raise ExpandNetError("runs already; cancel it, or wait")
        job = Job(planned())
    except ExpandNetError as error:
        _say(node, str(error), "error")
        if not nuke.GUI:
            raise
        return None
    _jobs[job.plan.identifier] = job
    _say(node, "working", "busy")
    job.start()
    return job


def _plan(node, frames, steady, expands=True):
    if node.input(0) is None:
        raise ExpandNetError("no plate: connect one")
    color = expandnet_knobs.color_of(node)
    moving = expandnet_knobs.animated(node) if steady is not None else None
    if moving is not None:
        raise ExpandNetError("%s is animated, a steady shot needs it constant; or set Steady to off" % moving)
    _identify(node)
    folder = folder_of(node)
    _show(node, folder.plates, folder.results)
    command, device = node["command"].evaluate() or "", _device(node)
    identifier = node["node_id"].value()
    return Plan(
        name=node.fullName(),
        identifier=identifier,
        folder=folder,
        views=_views(),
        frames=frames,
        settings={frame: expandnet_knobs.settings_at(node, frame, color) for frame in frames},
        steady=steady,
        in_shot=expandnet_knobs.steady_of(node) is not None,
        expands=expands,
        command=command,
        device=device,
        hand_over=None,
        quota=int(node["quota"].value() * expandnet_scratch.GIB),
        at_work=lambda: [other.plan.folder for other in list(_jobs.values())],
        open_worker=lambda: _pool.open(command, device),
        write=lambda frame, view: write_plate(_find(identifier), folder, frame, view),
        finished=lambda job: _finish(identifier, job),
    )


def _identify(node):
    """Give a node its own folder before anything is written: without an interface nobody was told that it was made."""
    if not _is_identified(node):
        node["node_id"].setValue(expandnet_knobs.new_identifier())


def _is_identified(node):
    identifier = node["node_id"].value()
    named = expandnet_scratch.NODE.match(identifier) is not None
    return named and all(other["node_id"].value() != identifier for other in _others(node))


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


def _finish(identifier, job):
    """Show the end of a job on its node, which may be gone."""
    _jobs.pop(identifier, None)
    node = _find(identifier)
    if node is None:
        return
    _reload(node)
    if job.error is not None:
        if nuke.GUI:
            # Where it points first: a knob may have been turned meanwhile.
            refresh(node)
        _say(node, job.error, "error")
        if not nuke.GUI:
            raise ExpandNetError("%s: %s" % (job.plan.name, job.error))
        return
    if nuke.GUI:
        refresh(node)
    if job.said is not None:
        _say(node, job.said, "idle")
    if job.alone:
        why = "Analyze range makes it part of the shot" if job.why_alone is None else job.why_alone
        _say(node, "%s. Frame %d by itself: %s" % (_status(node), job.alone[0], why), "idle")
    warnings = sorted({text for report in job.reports for text in report["warnings"]})
    if job.cancelled:
        _say(node, "cancelled; " + _status(node), "idle")
    elif warnings:
        _say(node, "%s. %s" % (_status(node), "; ".join(warnings)), "idle")


def _say(node, text, state):
    node["status"].setValue(text)
    node["failed"].setValue(state == "error")
    node["tile_color"].setValue(COLORS[state])


def _status(node):
    return node["status"].value()


def _reload(node):
    reader = node.node("ResultRead")
    reader["reload"].execute()


def _device(node):
    chosen = node["device"].value()
    return node["device_name"].value().strip() if chosen == expandnet_color.CUSTOM else chosen


def _views():
    return list(nuke.views()) or ["main"]


def _all():
    # Without the root it would be the group that the interface shows.
    return nuke.allNodes(CLASS, group=nuke.root(), recurseGroups=True)


def _find(identifier):
    return next((node for node in _all() if node["node_id"].value() == identifier), None)


def _others(node):
    return [other for other in _all() if other.fullName() != node.fullName()]


def _script():
    """Return what tells the open script from others: its name without versions, empty as long as it has none.

    With three folders above, which tell the shot; what lies before them differs between machines.
    """
    words = expandnet_scratch.posix(nuke.root()["name"].value()).split("/")
    return re.sub(r"(?i)(?<![a-z])v\d+", "v#", "/".join(words[-4:]))


def _show(node, plates, results):
    for knob, path in (("plate_file", plates), ("result_file", results)):
        if node[knob].value() != path:
            node[knob].setValue(path)


def _adopt(node):
    """Give a copied node an identity of its own, and let it show what the node it was copied from has computed."""
    identifier, fresh = node["node_id"].value(), expandnet_knobs.new_identifier()
    before = node["result_file"].value()
    node["node_id"].setValue(fresh)
    for knob in ("plate_file", "result_file"):
        node[knob].setValue(node[knob].value().replace(identifier, fresh))
    expandnet_scratch.link_files(os.path.dirname(before), os.path.dirname(node["result_file"].value()))


def _ranges(frames):
    """Return ascending numbers as `1001-1005, 1009`."""
    runs = []  # type: list[list[int]]
    for frame in frames:
        if runs and frame == runs[-1][1] + 1:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    return ", ".join("%d" % a if a == b else "%d-%d" % (a, b) for a, b in runs)


def main(words):
    """Compute the nodes of a script in a terminal; return the exit code."""
    # Nuke takes a last word that looks like frames for itself, so they have a name.
    frames = [word.partition("=")[2] for word in words if word.startswith("--frames=")]
    words = [word for word in words if not word.startswith("--frames=")]
    if not words:
        print("usage: nuke -t expandnet_nuke.py SCRIPT.nk [--frames=RANGE] [NODE ...]")
        return 2
    nuke.scriptOpen(words[0])
    named = words[1:]
    found = [nuke.toNode(name) for name in named] if named else _all()
    nodes = [node for node in found if node is not None]
    if not nodes or len(nodes) < len(found):
        print("%s: holds no such ExpandNet node" % words[0])
        return 2
    failed = 0
    for node in nodes:
        if not _is_identified(node):
            # What is computed here would be found by no render: the script does not say where.
            print("failed  %s: has no identity of its own; open the script in Nuke and save it" % node.fullName())
            failed += 1
            continue
        if frames:
            node["frames"].setValue(frames[-1])
        try:
            _check_place(node)
            render_range(node)
            print("%s: done" % node.fullName())
        except ExpandNetError as error:
            print("failed  %s" % error)
            failed += 1
    return 1 if failed else 0


def _check_place(node):
    """Raise `ExpandNetError` where a render of the saved script would not find what is computed here."""
    reads, writes = node["result_file"].value(), folder_of(node).results
    if reads != writes:
        raise ExpandNetError(
            "%s: the script reads %s, and would get %s from here; set %s as where it was saved, or save it again"
            % (node.fullName(), reads, writes, expandnet_scratch.VARIABLE)
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
