"""Work that goes on beside the interface: plates out of the comp, through the worker, results into the scratch folder.

A job runs in a thread of its own, or, without an interface, where it is called. Nodes are touched on the main thread only.
"""

import json
import os
import threading
import time
import traceback

import expandnet_scratch
import nuke
from expandnet_programs import Busy, Cancelled, ExpandNetError

running = {}  # type: dict[str, Job]
"""What runs, by the identifier of its node: names change, and another script may have the same."""

WAIT = 0.5
"""Seconds from one look to the next at whether the host is done with what it renders."""


def on_main(call, *arguments):
    """Call on the main thread and return the result, or raise what was raised there."""
    if not nuke.GUI or threading.current_thread() is threading.main_thread():
        return call(*arguments)
    kept = {}

    def run():
        # Nuke prints what is raised over there and gives back None.
        try:
            kept["value"] = call(*arguments)
        except Exception as error:
            kept["error"] = error

    nuke.executeInMainThreadWithResult(run)
    if "error" in kept:
        raise kept["error"]
    return kept.get("value")


class Plan:
    """All that a job needs to know of its node, gathered on the main thread before it starts.

    Attributes:
        name: full name that the node had.
        identifier: what the node is found by.
        folder: its `NodeFolder`.
        views: names of views, one or more.
        frames: numbers, ascending.
        settings: of each frame, by number.
        steady: how the frames are made a steady shot first, see `expandnet_knobs.steady_of`; None leaves that out.
        in_shot: whether a frame takes its steady analysis from the shot where there is one.
        expands: whether frames are expanded, or only analyzed.
        command: what the artist set to run our programs, see `expandnet_programs.command_words`.
        device: name of the device to compute on.
        quota: bytes that the scratch folder may hold; 0 for no limit.
        at_work: gives the folders of all nodes of this session that are at work.
        open_worker: gives a connection; takes what tells whether the artist has had enough.
        write: writes the plate of a frame and view into the folder, on the main thread.
        hand_over: hands the plates to a farm instead, and returns what is to be done next; None expands them here.
        finished: takes the job at its end, on the main thread.
    """

    def __init__(self, **values):
        self.__dict__.update(values)


class Job:
    """One press of a button; see `Plan`.

    Attributes:
        error: one line, None if all went well.
        cancelled: whether the artist stopped it.
        reports: what the worker said of each frame.
        alone: frames of a shot that were expanded by themselves, for want of an analysis.
        why_alone: what kept the last of them from being part of the shot; None if it was never analyzed.
        said: what came of handing the plates over to a farm, None otherwise.
    """

    def __init__(self, plan):
        self.plan = plan
        self.error = None
        self.cancelled = False
        self.reports = []
        self.alone = []
        self.why_alone = None
        self.said = None
        self._stop = threading.Event()
        self._thread = None
        self._task = None
        self._share = 0.0

    def start(self):
        """Begin; without an interface, do it all before returning."""
        if not nuke.GUI:
            self._run()
            return
        self._thread = threading.Thread(target=self._run, name="ExpandNet", daemon=True)
        self._thread.start()

    def cancel(self):
        """Stop as soon as may be; what is complete stays."""
        self._stop.set()

    def wait(self, seconds):
        """Wait for the end; tell whether it came."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()

    def _run(self):
        # Progress is shown for as long as the task lives, so this thread alone holds it.
        self._task = nuke.ProgressTask("ExpandNet") if nuke.GUI else None
        try:
            self._work()
        except Cancelled:
            self.cancelled = True
        except (ExpandNetError, OSError, RuntimeError) as error:
            self.error = " ".join(str(error).split()) or type(error).__name__
        except Exception as error:
            traceback.print_exc()
            self.error = "internal fault, %s: %s; please report it" % (type(error).__name__, error)
        finally:
            self._task = None
            on_main(self.plan.finished, self)

    def _work(self):
        plan = self.plan
        plan.folder.make()
        self._make_room()
        if plan.hand_over is not None:
            for done, frame in enumerate(plan.frames):
                self._write(frame, plan.views[0], done / len(plan.frames))
            self._tell(1.0, "writing the farm job")
            self.said = plan.hand_over()
            return
        self._tell(0.0, "starting the worker")
        worker = plan.open_worker(self._is_cancelled)
        try:
            for view in plan.views:
                self._work_view(worker, view)
        finally:
            worker.close()
            self._write_report()
            self._make_room()

    def _make_room(self):
        expandnet_scratch.hold_to_quota(self.plan.folder, self.plan.quota, self.plan.at_work())

    def _work_view(self, worker, view):
        plan = self.plan
        if plan.steady is not None:
            # A steady frame knows its neighbors: all plates come first. A part of a shot that is made again must not come out
            # as a shot of its own.
            shot = sorted(set(plan.frames) | set(plan.folder.analyzed(view)))
            for done, frame in enumerate(shot):
                if frame in plan.settings or not os.path.isfile(plan.folder.plate(frame, view)):
                    self._write(frame, view, 0.3 * done / len(shot))
            self._analyze(worker, view, shot)
        if not plan.expands:
            return
        first = 0.6 if plan.steady is not None else 0.0
        for done, frame in enumerate(plan.frames):
            share = first + (1 - first) * done / len(plan.frames)
            if plan.steady is None:
                self._write(frame, view, share)
            self._expand(worker, frame, view, share, (1 - first) / len(plan.frames))

    def _write(self, frame, view, share):
        while True:
            self._tell(share, "frame %d: writing the plate" % frame)
            try:
                on_main(self.plan.write, frame, view)
                return
            except Busy:
                # A render of the artist's own, or of another node, in whose events this call came.
                if not nuke.GUI:
                    raise
                self._tell(share, "frame %d: waiting for what Nuke renders" % frame)
                self._stop.wait(WAIT)

    def _analyze(self, worker, view, shot):
        plan = self.plan
        said = worker.ask(
            "analyze",
            progress=lambda share, text: self._tell(0.3 + 0.3 * share, text),
            cancelled=self._is_cancelled,
            frames=[[frame, plan.folder.plate(frame, view)] for frame in shot],
            output=plan.folder.shot(view),
            steady=plan.steady,
            settings=plan.settings[plan.frames[0]],
            existing="skip",
        )
        if not said["kept"]:
            # Until each is expanded again, or found to come out the same.
            plan.folder.note_alone(plan.folder.frames(view), True)

    def _expand(self, worker, frame, view, start, length):
        plan = self.plan
        shot = plan.folder.shot(view)
        if plan.steady is None and plan.in_shot and not os.path.isfile(shot):
            self.alone.append(frame)
        elif plan.in_shot:
            try:
                self._render(worker, frame, view, start, length, {"shot": shot, "frame": frame})
                plan.folder.note_alone([frame], False)
                return
            except Cancelled:
                raise
            except ExpandNetError as error:
                if plan.steady is not None:
                    raise
                # Analyzed before the plate, the range or a setting changed: a look at the frame is worth more than none.
                self.alone.append(frame)
                self.why_alone = str(error)
        self._render(worker, frame, view, start, length, None)
        if plan.in_shot:
            plan.folder.note_alone([frame], True)

    def _render(self, worker, frame, view, start, length, analysis):
        plan = self.plan
        report = worker.ask(
            "render",
            progress=lambda share, _: self._tell(start + length * share, "frame %d" % frame),
            cancelled=self._is_cancelled,
            source=plan.folder.plate(frame, view),
            output=plan.folder.result(frame, view),
            settings=plan.settings[frame],
            analysis=analysis,
            existing="skip",
        )
        self.reports.append(dict(report, frame=frame, view=view))

    def _is_cancelled(self):
        if self._task is not None and self._task.isCancelled():
            self._stop.set()
        return self._stop.is_set()

    def _tell(self, share, text):
        """Show how far it is; raise `Cancelled` if the artist has had enough."""
        if self._is_cancelled():
            raise Cancelled("cancelled")
        percent = int(100 * share)
        if self._task is not None:
            self._task.setMessage("%s: %s" % (self.plan.name, text))
            self._task.setProgress(percent)
        elif percent != int(100 * self._share):
            print("ExpandNet %s: %s, %d%%" % (self.plan.name, text, percent))
        self._share = share

    def _write_report(self):
        if not self.reports:
            return
        record = {"node": self.plan.name, "time": time.strftime("%Y-%m-%d %H:%M:%S"), "frames": self.reports}
        with open(self.plan.folder.report, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
