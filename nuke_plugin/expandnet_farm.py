"""A node's range as a farm job: plates are written here, the farm expands them, and the comp's render waits for it."""

import os
import shutil
import time

from expandnet_programs import ExpandNetError, command_words, run_program
from expandnet_scratch import file_of

FLAGS = ("latlong", "force", "matte")
"""Settings that are switches of the command line."""


def hand_over(node, plan):
    """Return what writes the job once the plates are there, and then says what is to be done next, in a line.

    Raises:
        ExpandNetError: settings are animated, the shot is locked to a frame, or there are several views.
    """
    settings = _constant(plan)
    if plan.steady is not None and (plan.steady["lock_frame"] is not None or plan.steady["cuts"]):
        raise ExpandNetError("Send to farm: lock frame and cuts are not for a farm job; set Steady to off or window")
    if len(plan.views) > 1:
        raise ExpandNetError("Send to farm: one view at a time; leave one in the project settings")
    job = "%s/job-%s" % (os.path.dirname(plan.folder.results), time.strftime("%Y%m%d-%H%M%S"))
    command = command_words(plan.command, "expandnet")
    plates = "%s/plates/%s" % (job, os.path.basename(plan.folder.plates))
    words = command + [
        "submit",
        plates,
        "--frames",
        ",".join(str(frame) for frame in plan.frames),
        "--output",
        plan.folder.results,
        "--job",
        job,
        "--to",
        node["farm"].value(),
        "--chunk",
        str(int(node["farm_chunk"].value())),
        "--steady",
        "off" if plan.steady is None else str(plan.steady["window"]),
    ]
    words += setting_words(settings)
    words += ["--device", plan.device] + (["--gpu"] if plan.device.startswith("cuda") else [])
    if len(command) > 1 or os.path.isabs(command[0]):
        words += ["--executable", " ".join(quoted(word) for word in command)]
    render = node["farm_render"].value().strip()
    if render:
        words += ["--then", render]

    def submit():
        # The node's own plates are those of the next press.
        os.makedirs(os.path.dirname(plates), exist_ok=True)
        try:
            for frame in plan.frames:
                os.replace(plan.folder.plate(frame, plan.views[0]), file_of(plates, frame, plan.views[0]))
            return run_program(words, "expandnet submit").splitlines()[-1]
        except (ExpandNetError, OSError):
            # The next press writes plates of its own.
            shutil.rmtree(job, ignore_errors=True)
            raise

    return submit


def quoted(word):
    """Return a word of a command in the quotes that `expandnet submit` takes words apart by."""
    return '"%s"' % word if "'" in word else "'%s'" % word


def setting_words(settings):
    """Return a worker's settings as flags of `expandnet-batch`."""
    words = []
    for name, value in sorted(settings.items()):
        flag = "--" + name.replace("_", "-")
        if name in FLAGS:
            words += [flag] if value else []
        elif value is not None:
            words.append("%s=%s" % (flag, value))
    return words


def _constant(plan):
    first = plan.settings[plan.frames[0]]
    for frame in plan.frames:
        other = plan.settings[frame]
        moving = sorted(name for name in first if first[name] != other[name])
        if moving:
            raise ExpandNetError("Send to farm: %s is animated; a farm job holds one value for the shot" % moving[0])
    return first
