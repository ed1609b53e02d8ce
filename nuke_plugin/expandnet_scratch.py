"""Where plates and results of a node lie, what they take, and what goes when there is too much. Standard library only.

    SCRATCH/NODE/plates-KEY/plate.1001.exr  what upstream gave, as the worker reads it; KEY stands for the Reads there
    SCRATCH/NODE/KEY/light.1001.exr         what came of it under the settings that KEY stands for
    SCRATCH/NODE/KEY/shot.json              steady analyses of the range
    SCRATCH/NODE/KEY/alone.json             frames of a shot that were expanded by themselves
    SCRATCH/NODE/KEY/job-TIME/              a farm job with its plates

A result says itself what it was made from (content of the plate, settings, weights), so a folder that outlives the session
is never trusted for its names: the worker looks, and makes anew what no longer holds.
"""

import getpass
import hashlib
import json
import os
import re
import shutil
import tempfile
import time

VARIABLE = "EXPANDNET_SCRATCH"
"""A studio's folder for all its artists."""

NODE = re.compile(r"^n[0-9a-f]{16}$")
"""Names of the folders that are ours; nothing else in a scratch folder is ever touched."""

GIB = 1 << 30


def default_folder():
    """Return the folder where nobody named one: the studio's, the host's for temporary files, or the system's."""
    shared = os.environ.get(VARIABLE) or os.environ.get("NUKE_TEMP_DIR") or tempfile.gettempdir()
    return posix(os.path.join(shared, "expandnet-%s" % getpass.getuser()))


def posix(path):
    """Return a path with forward slashes, the only ones that scripts survive with on all systems."""
    return path.replace("\\", "/")


def settings_key(state):
    """Return a short name for all that decides about a picture, beside the plate.

    Args:
        state: plain data; the same data gives the same name in every session.
    """
    return "k" + hashlib.sha256(json.dumps(state, sort_keys=True).encode("utf-8")).hexdigest()[:16]


class NodeFolder:
    """The files of one node.

    Args:
        scratch: absolute folder.
        node: identifier of the node.
        key: see `settings_key`; of all that decides about a result.
        plates: the same, of what tells the plate from others.
        views: names of views where there are several; file names hold `%V` then.
    """

    def __init__(self, scratch, node, key, plates, views=()):
        self.scratch = posix(scratch)
        self.path = posix(os.path.join(scratch, node))
        view = ".%V" if len(views) > 1 else ""
        self.plates = "%s/plates-%s/plate%s.%%04d.exr" % (self.path, plates, view)
        self.results = "%s/%s/light%s.%%04d.exr" % (self.path, key, view)
        self.settings = "%s/%s" % (self.path, key)
        self.report = "%s/report.json" % self.settings
        self._alone = "%s/alone.json" % self.settings
        self._shot = "%s/%s/shot%s.json" % (self.path, key, view)

    def plate(self, frame, view=None):
        """Return where the plate of a frame lies."""
        return file_of(self.plates, frame, view)

    def result(self, frame, view=None):
        """Return where the result of a frame lies."""
        return file_of(self.results, frame, view)

    def shot(self, view=None):
        """Return where the steady analyses of the range lie."""
        return self._shot.replace("%V", view or "main")

    def frames(self, view=None):
        """Return the numbers of the frames whose results are there, ascending."""
        folder, name = os.path.split(self.results.replace("%V", view or "main"))
        head, _, tail = name.partition("%04d")
        try:
            names = os.listdir(folder)
        except OSError:
            return []
        numbers = (n[len(head) : -len(tail)] for n in names if n.startswith(head) and n.endswith(tail))
        return sorted(int(n) for n in numbers if re.match(r"^-?\d+$", n))

    def alone(self):
        """Return the numbers of the frames that are no part of the shot as it is analyzed, where there is one."""
        try:
            with open(self._alone, encoding="utf-8") as file:
                return {frame for frame in json.load(file) if isinstance(frame, int)}
        except (OSError, ValueError, TypeError):
            return set()

    def note_alone(self, frames, alone):
        """Keep in mind whether frames are no part of the shot as it is analyzed; raise `OSError` if that cannot be written."""
        known = self.alone()
        noted = known | set(frames) if alone else known - set(frames)
        if noted == known:
            return
        with open(self._alone + ".tmp", "w", encoding="utf-8") as file:
            json.dump(sorted(noted), file)
        os.replace(self._alone + ".tmp", self._alone)

    def make(self):
        """Make the folders; raise `OSError` if that cannot be."""
        for pattern in (self.plates, self.results):
            os.makedirs(os.path.dirname(pattern), exist_ok=True)

    def analyzed(self, view=None):
        """Return the numbers of the frames of the shot that was analyzed last, ascending."""
        try:
            with open(self.shot(view), encoding="utf-8") as file:
                return sorted(int(number) for number in json.load(file)["frames"])
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def is_writable(self):
        """Tell whether what is there of this node may be written; another user's may not."""
        places = (self.path, os.path.dirname(self.plates), self.settings)
        return all(os.access(place, os.W_OK | os.X_OK) for place in places if os.path.isdir(place))

    def clear(self):
        """Remove everything of this node but farm jobs that are not complete, with their results; return how many those are."""
        if not NODE.match(os.path.basename(self.path)):
            return 0
        waiting = [job for place in _below(self.path, "k") for job in _below(place, "job-") if _waits(job)]
        parts = _below(self.path, "k") + _below(self.path, "plates") if waiting else [self.path]
        for place in parts:
            if not any(job.startswith(place + "/") for job in waiting):
                shutil.rmtree(place, ignore_errors=True)
        return len(waiting)


def file_of(pattern, frame, view=None):
    """Return a file of a pattern with `%04d` and perhaps `%V`."""
    return pattern.replace("%V", view or "main").replace("%04d", "%04d" % frame)


def link_files(source, target):
    """Let a folder hold the results of another one; each is its own from the next time it is written."""
    try:
        names = [name for name in os.listdir(source) if name.endswith(".exr")]
        os.makedirs(target, exist_ok=True)
        for name in names:
            os.link(os.path.join(source, name), os.path.join(target, name))
    except OSError:
        # Nothing there, or a disk without links: what is missing is computed.
        return


PATIENCE = 14 * 86400
"""Seconds for which a farm job that is not complete keeps its plates, and the results that it writes."""

AT_WORK = 3600
"""Seconds for which files of other nodes stay: another session, or another artist, may be at work on them."""


def _waits(job):
    """Tell whether a farm job still needs what lies in its folder."""
    try:
        with open(os.path.join(job, "report.json"), encoding="utf-8") as file:
            if json.load(file).get("complete"):
                return False
    except (OSError, ValueError, AttributeError):
        pass
    try:
        return time.time() - os.path.getmtime(os.path.join(job, "job.json")) < PATIENCE
    except OSError:
        return False


def usage(folder):
    """Return bytes and last change of everything below a folder."""
    total, newest = 0, 0.0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                found = os.stat(os.path.join(where, name))
            except OSError:
                continue
            total += found.st_size
            newest = max(newest, found.st_mtime)
    return total, newest


def hold_to_quota(own, quota, at_work):
    """Remove what was not used for longest until what is left fits: plates and settings of nodes, and farm jobs.

    What a farm job that is not complete needs stays, what nodes at work need, and, of other nodes, what was used within the
    hour.

    Args:
        own: `NodeFolder` of the node that asks.
        quota: bytes; 0 for no limit.
        at_work: `NodeFolder` of the nodes of this session that are at work.

    Returns:
        The folders that went.
    """
    removed = []  # type: list[str]
    if quota <= 0 or not os.path.isdir(own.scratch):
        return removed
    kept = {path for folder in [own] + at_work for path in (os.path.dirname(folder.plates), folder.settings)}
    total, found = 0, []
    for path in _parts(own.scratch):
        size, newest = usage(path)
        total += 0 if os.path.basename(path).startswith("job-") else size
        found.append((newest, path))
    for newest, path in sorted(found):
        if total <= quota:
            break
        fresh = not path.startswith(own.path + "/") and time.time() - newest < AT_WORK
        jobs = [path] if os.path.basename(path).startswith("job-") else _below(path, "job-")
        if path in kept or fresh or any(_waits(job) for job in jobs):
            continue
        size = usage(path)[0]
        shutil.rmtree(path, ignore_errors=True)
        # Another user's stay.
        total -= size - usage(path)[0]
        if not os.path.isdir(path):
            removed.append(path)
    return removed


def _parts(scratch):
    """Return the folders below a scratch folder that may go one by one; a farm job lies in one of the others."""
    nodes = [posix(os.path.join(scratch, name)) for name in os.listdir(scratch) if NODE.match(name)]
    settings = [path for node in nodes for path in _below(node, "k")]
    plates = [path for node in nodes for path in _below(node, "plates")]
    return plates + settings + [job for path in settings for job in _below(path, "job-")]


def _below(folder, head):
    try:
        names = [name for name in os.listdir(folder) if name.startswith(head)]
    except OSError:
        return []
    return [path for path in ("%s/%s" % (folder, name) for name in sorted(names)) if os.path.isdir(path)]
