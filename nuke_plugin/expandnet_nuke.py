"""What the buttons of ExpandNet.gizmo do. Standard library only, Python 3.7 and later.

The gizmo's own scripts are one call each, so that nodes of old scripts run the code that is installed. In a terminal,
`nuke -t expandnet_nuke.py comp.nk --frames=1001-1100 [NODE ...]` computes what `nuke -x` then reads.
"""

import os
import pathlib
import sys
import webbrowser

import expandnet_color
import expandnet_farm
import expandnet_knobs
import expandnet_scratch
import nuke
from expandnet_callbacks import describe, refresh
from expandnet_client import Pool
from expandnet_job import Job, Plan, running
from expandnet_nodes import (
    SESSION,
    all_nodes,
    find_node,
    folder_of,
    frames_of,
    identify,
    is_identified,
    reload_result,
    say,
    script_name,
    set_knobs,
    show,
    shown_views,
    status_of,
    write_plate,
)
from expandnet_programs import ExpandNetError

_pool = Pool()


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
    job = running.get(node["node_id"].value())
    if job is not None:
        job.cancel()


def clear_cache(node):
    """Button: remove the plates and results of this node."""
    try:
        if node["node_id"].value() in running:
            raise ExpandNetError("Clear: cancel what runs first")
        # A copy must not clear what it was copied from.
        identify(node)
        waiting = folder_of(node).clear()
        reload_result(node)
        refresh(node)
        if waiting:
            text = "%s. Farm jobs that are not complete stay, with their results: %d"
            say(node, text % (status_of(node), waiting), "idle")
    except ExpandNetError as error:
        say(node, str(error), "error")


def check_cache(node):
    """Button: look again at what is computed."""
    reload_result(node)
    refresh(node)


def open_report(node):
    """Button: show what the worker said about the frames of the last run."""
    try:
        path = folder_of(node).report
        if not os.path.isfile(path):
            raise ExpandNetError("Report: nothing was rendered under these settings yet")
        webbrowser.open(pathlib.Path(path).as_uri())
    except ExpandNetError as error:
        say(node, str(error), "error")


def _begin(node, planned):
    """Start a job for a node by the plan that a call makes; a reason why not goes to the node."""
    try:
        if node["node_id"].value() in running:
            raise ExpandNetError("runs already; cancel it, or wait")
        job = Job(planned())
    except ExpandNetError as error:
        say(node, str(error), "error")
        if not nuke.GUI:
            raise
        return None
    running[job.plan.identifier] = job
    say(node, "working", "busy")
    job.start()
    return job


def _plan(node, frames, steady, expands=True):
    if node.input(0) is None:
        raise ExpandNetError("no plate: connect one")
    if node.clones():
        raise ExpandNetError("a clone shares its folder with plates that are not its own: declone it, or use a copy")
    color = expandnet_knobs.color_of(node)
    moving = expandnet_knobs.animated(node) if steady is not None else None
    if moving is not None:
        raise ExpandNetError("%s is animated, a steady shot needs it constant; or set Steady to off" % moving)
    identify(node)
    if nuke.GUI:
        set_knobs(node, {"of_script": script_name() or SESSION})
    folder = folder_of(node)
    show(node, folder)
    command, device = node["command"].evaluate() or "", _device(node)
    identifier = node["node_id"].value()
    return Plan(
        name=node.fullName(),
        identifier=identifier,
        folder=folder,
        views=shown_views(),
        frames=frames,
        settings={frame: expandnet_knobs.settings_at(node, frame, color) for frame in frames},
        steady=steady,
        in_shot=expandnet_knobs.steady_of(node) is not None,
        expands=expands,
        command=command,
        device=device,
        hand_over=None,
        quota=int(node["quota"].value() * expandnet_scratch.GIB),
        at_work=lambda: [other.plan.folder for other in list(running.values())],
        open_worker=lambda cancelled: _pool.open(command, device, cancelled),
        write=lambda frame, view: write_plate(find_node(identifier), folder, frame, view),
        finished=lambda job: _finish(identifier, job),
    )


def _finish(identifier, job):
    """Show the end of a job on its node, which may be gone."""
    running.pop(identifier, None)
    node = find_node(identifier)
    if node is None:
        return
    reload_result(node)
    if job.error is not None:
        if nuke.GUI:
            # Where it points first: a knob may have been turned meanwhile.
            refresh(node)
        say(node, job.error, "error")
        if not nuke.GUI:
            raise ExpandNetError("%s: %s" % (job.plan.name, job.error))
        return
    if nuke.GUI:
        refresh(node)
    if job.said is not None:
        say(node, job.said, "idle")
    if job.alone:
        why = "Analyze range makes it part of the shot" if job.why_alone is None else job.why_alone
        say(node, "%s. Frame %d by itself: %s" % (status_of(node), job.alone[0], why), "idle")
    warnings = sorted({text for report in job.reports for text in report["warnings"]})
    if job.cancelled:
        say(node, "cancelled; " + status_of(node), "idle")
    elif warnings:
        say(node, "%s. %s" % (status_of(node), "; ".join(warnings)), "idle")


def _device(node):
    chosen = node["device"].value()
    return node["device_name"].value().strip() if chosen == expandnet_color.CUSTOM else chosen


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
    found = [nuke.toNode(name) for name in named] if named else all_nodes()
    nodes = [node for node in found if node is not None]
    if not nodes or len(nodes) < len(found):
        print("%s: holds no such ExpandNet node" % words[0])
        return 2
    failed = 0
    for node in nodes:
        if not is_identified(node):
            # What is computed here would be found by no render: the script does not say where.
            print("failed  %s: has no identity of its own; open the script in Nuke and save it" % node.fullName())
            failed += 1
            continue
        if frames:
            node["frames"].setValue(frames[-1])
        try:
            _check_place(node)
            render_range(node)
            print("%s: done; %s" % (node.fullName(), describe(node, folder_of(node))))
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
