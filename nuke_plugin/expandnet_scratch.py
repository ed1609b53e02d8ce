"""Where plates and results of a node lie, what they take, and what goes when there is too much. Standard library only.

    SCRATCH/NODE/plates/plate.1001.exr      what upstream gave, as the worker reads it
    SCRATCH/NODE/KEY/light.1001.exr         what came of it under the settings that KEY stands for
    SCRATCH/NODE/KEY/shot.json              steady analyses of the range

A result says itself what it was made from (content of the plate, settings, weights), so a folder that outlives the session
is never trusted for its names: the worker looks, and makes anew what no longer holds.
"""

import getpass
import glob
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
        key: see `settings_key`.
        views: names of views where there are several; file names hold `%V` then.
    """

    def __init__(self, scratch, node, key, views=()):
        self.scratch = posix(scratch)
        self.path = posix(os.path.join(scratch, node))
        view = ".%V" if len(views) > 1 else ""
        self.plates = "%s/plates/plate%s.%%04d.exr" % (self.path, view)
        self.results = "%s/%s/light%s.%%04d.exr" % (self.path, key, view)
        self.report = "%s/%s/report.json" % (self.path, key)
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

    def make(self):
        """Make the folders; raise `OSError` if that cannot be."""
        for pattern in (self.plates, self.results):
            os.makedirs(os.path.dirname(pattern), exist_ok=True)

    def clear(self):
        """Remove everything of this node."""
        if NODE.match(os.path.basename(self.path)):
            shutil.rmtree(self.path, ignore_errors=True)


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
"""Seconds for which a farm job that is not complete keeps the folder of its node."""


def _waits(folder):
    """Tell whether a farm job below the folder of a node still needs what lies there."""
    for job in glob.glob(os.path.join(glob.escape(folder), "k*", "job-*", "job.json")):
        try:
            with open(os.path.join(os.path.dirname(job), "report.json"), encoding="utf-8") as file:
                if json.load(file).get("complete"):
                    continue
        except (OSError, ValueError):
            pass
        if time.time() - os.path.getmtime(job) < PATIENCE:
            return True
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


def hold_to_quota(scratch, quota, keep):
    """Remove the folders of nodes that were not used for longest until what is left fits; return how many went.

    Args:
        scratch: the scratch folder.
        quota: bytes; 0 for no limit.
        keep: identifier of the node that is at work, whose files stay, as do those of a farm job that is not complete.
    """
    if quota <= 0 or not os.path.isdir(scratch):
        return 0
    found = []
    for name in os.listdir(scratch):
        if NODE.match(name):
            size, newest = usage(os.path.join(scratch, name))
            found.append((newest, size, name))
    total, removed = sum(size for _, size, _ in found), 0
    for _, size, name in sorted(found):
        if total <= quota:
            break
        if name != keep and not _waits(os.path.join(scratch, name)):
            shutil.rmtree(os.path.join(scratch, name), ignore_errors=True)
            total -= size
            removed += 1
    return removed
