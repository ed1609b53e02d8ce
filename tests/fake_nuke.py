"""A stand-in for Nuke that does real picture files: nodes with knobs, gizmos read by a real Tcl interpreter, one main thread.

It knows what the plug-in uses and refuses the rest. What Nuke forbids fails here: nodes touched off the main thread, an
execution inside another, waiting for the main thread on the main thread. Pages are those of the Nuke Python API reference,
learn.foundry.com/nuke/developers/15.0/pythondevguide/_autosummary.
"""

from __future__ import annotations

import queue
import re
import threading
import tkinter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from nuke_nodes import Knob, Node, Refused, Root
from nuke_pictures import Picture
from nuke_scripts import load_script, new_node, script_of


class Task:
    """nuke.ProgressTask.html: may be used from any thread; cancelled by the artist."""

    def __init__(self, host: Host, name: str) -> None:
        self._host, self.title = host, name
        self.shown: list[tuple[int, str]] = []
        self._text = ""
        host.tasks.append(self)

    def setMessage(self, text: str) -> None:
        self._text = text

    def setProgress(self, percent: int) -> None:
        assert isinstance(percent, int)
        assert 0 <= percent <= 100
        self.shown.append((percent, self._text))
        self._host.on_progress(percent, self._text)

    def isCancelled(self) -> bool:
        return self._host.artist_cancels


class Undo:
    """nuke.Undo.html: whether what is set can be taken back; setting knobs of a plug-in's own must not fill it."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def disabled(self) -> bool:
        return not self._host.records

    def disable(self) -> None:
        self._host.records = False

    def enable(self) -> None:
        self._host.records = True


class Host:
    """The module `nuke` (nuke.html), as `module` puts it into sys.modules, and what an artist does with it."""

    def __init__(self, *, gui: bool = True) -> None:
        self.GUI = gui
        self.EXE_PATH = "/nowhere/Nuke15.0"
        self.main = threading.current_thread()
        self.current = 1001
        self.proxy_on = False
        self.disk_full = False
        self.artist_cancels = False
        self.on_progress: Callable[[int, str], None] = lambda *_: None
        self.tasks: list[Task] = []
        self.view_names = ["main"]
        self.layers = {"rgba.red", "rgba.green", "rgba.blue", "rgba.alpha", "other.Z"}
        self.working: np.ndarray | None = None
        self.nodes: list[Node] = []
        self.current_group: list[Node] = []
        """Nodes of the group whose node graph is shown; the test's own."""
        self.on_load: list[Callable[[], Any]] = []
        self.on_save: list[Callable[[], Any]] = []
        self.on_knob: dict[str, list[Callable[[], Any]]] = {"Root": [], "Read": []}
        self.records = True
        self.undo: list[tuple[str, str]] = []
        """Node and knob of what an artist could take back."""
        self.renders = 0
        """Times that the host is still found rendering something else."""
        self.gizmos: dict[str, str] = {}
        self.calls: queue.Queue[tuple[Callable[..., Any], tuple[Any, ...], threading.Event]] = queue.Queue()
        self._executing = False
        self._quiet = False
        self._this: tuple[Node, Knob | None] | None = None
        self.root_node = Root(self, "Root", "root")
        for name, value in (("first_frame", 1001), ("last_frame", 1003)):
            self.root_node.add(name, "Int_Knob", value)
        self.root_node.add("name", "String_Knob", "")
        for name, value in (("colorManagement", "Nuke"), ("OCIO_config", "custom"), ("workingSpaceLUT", "linear")):
            self.root_node.add(name, "String_Knob", value)
        self.root_node.add("customOCIOConfigPath", "File_Knob", "")
        self.root_node.add("OCIOConfigPath", "File_Knob", "")

    # The module

    def module(self) -> ModuleType:
        made = ModuleType("nuke")
        made.GUI, made.EXE_PATH = self.GUI, self.EXE_PATH  # type: ignore[attr-defined]
        made.Undo = Undo(self)  # type: ignore[attr-defined]
        for name in ("root", "toNode", "allNodes", "execute", "executing", "executeInMainThreadWithResult",
                     "ProgressTask", "frame",
                     "views", "thisNode", "thisKnob", "scriptOpen", "createNode", "addOnScriptLoad", "addOnScriptSave",
                     "addKnobChanged", "menu"):  # fmt: skip
            setattr(made, name, getattr(self, name))
        return made

    def root(self) -> Root:
        return self.root_node

    def frame(self, f: int | None = None) -> int:
        self.check_thread()
        self.current = self.current if f is None else f
        return self.current

    def views(self) -> list[str]:
        return list(self.view_names)

    def thisNode(self) -> Node:
        assert self._this
        return self._this[0]

    def thisKnob(self) -> Knob | None:
        assert self._this
        return self._this[1]

    def toNode(self, s: str) -> Node | None:
        self.check_thread()
        head, _, rest = s.partition(".")
        found = next((node for node in self.nodes if node.name() == head), None)
        return found.node(rest) if found is not None and rest else found

    def allNodes(self, filter: str = "", group: Any = None, recurseGroups: bool = False) -> list[Node]:  # noqa: A002
        """nuke.allNodes.html: without a group it is the current one, and only `recurseGroups` goes into groups."""
        self.check_thread()
        if group is not self.root_node:
            return [node for node in self.current_group if node.kind == filter]
        assert recurseGroups, "nodes inside groups would be left out"
        return [node for node in self.nodes if node.kind == filter]

    def addOnScriptLoad(self, call: Any, args: Any = (), kwargs: Any = None, nodeClass: str = "Root") -> None:
        """nuke.addOnScriptLoad.html: called once a script is loaded."""
        self.on_load.append(call)

    def addOnScriptSave(self, call: Any, args: Any = (), kwargs: Any = None, nodeClass: str = "Root") -> None:
        """nuke.addOnScriptSave.html: called before a script is written."""
        self.on_save.append(call)

    def addKnobChanged(
        self, call: Any, args: Any = (), kwargs: Any = None, nodeClass: str = "*", node: Any = None
    ) -> None:
        """nuke.addKnobChanged.html: called when a knob of a node of a class changes."""
        self.on_knob[nodeClass].append(call)

    def menu(self, name: str) -> Any:
        """nuke.menu.html."""

        class Menu:
            def addCommand(self, name: str, command: str, shortcut: str = "", icon: str = "") -> None:
                """Menu.addCommand.html."""

        return Menu()

    def executing(self, f: float | None = None) -> bool:
        """nuke.executing.html."""
        self.check_thread()
        self.renders = max(0, self.renders - 1)
        return self._executing or self.renders > 0

    def execute(
        self,
        nameOrNode: Any,
        start: int,
        end: int,
        incr: int = 1,
        views: Any = (),
        continueOnError: bool = False,
    ) -> None:
        self.check_thread()
        if self._executing:
            raise Refused("I'm already executing something else")
        self._executing = True
        try:
            if nameOrNode.number("disable"):
                raise RuntimeError(f"{nameOrNode.fullName()}: disabled, so nothing is written")
            for frame in range(start, end + 1, incr):
                for view in views or self.view_names:
                    nameOrNode.write(frame, view)
        finally:
            self._executing = False

    def executeInMainThreadWithResult(self, call: Any, args: Any = (), kwargs: Any = None) -> Any:
        if threading.current_thread() is self.main:
            raise Refused("waits for itself: called on the main thread")
        done = threading.Event()
        self.calls.put((call, args, done))
        assert done.wait(60)

    def ProgressTask(self, name: str) -> Task:
        assert self.GUI, "there is no interface to show it in"
        return Task(self, name)

    def createNode(self, typ: str, knobs: str = "", inpanel: bool = True) -> Node:
        self.check_thread()
        return self.create(typ)

    def scriptOpen(self, filename: str = "") -> None:
        self.nodes = []
        load_script(self, Path(filename).read_text(encoding="utf-8"))
        self.root_node["name"].setValue(filename)
        for call in self.on_load:
            call()

    # Rules

    def check_thread(self) -> None:
        if threading.current_thread() is not self.main:
            raise Refused("nodes are touched off the main thread")

    def check_channel(self, name: str) -> None:
        if name not in self.layers:
            raise Refused(f"{name}: no such channel; a layer must be added before it is used")

    def pump(self, ended: Callable[[], bool]) -> None:
        """Be the interface: run what threads ask for until `ended`."""
        while not ended():
            try:
                call, args, done = self.calls.get(timeout=0.02)
            except queue.Empty:
                continue
            call(*args)
            done.set()

    # Callbacks and scripts

    def knob_changed(self, node: Node, knob: Knob) -> None:
        if self.records and not self._quiet:
            self.undo.append((node.fullName(), knob.name()))
        if node.kind in self.on_knob and not self._quiet:
            before, self._this = self._this, (node, knob)
            for call in self.on_knob[node.kind]:
                call()
            self._this = before
            return
        script = node.knobs_by_name.get("knobChanged")
        if script is not None and not self._quiet and node.members and self._this is None:
            self.run_script(script._value, node, knob)

    def run_script(self, script: str, node: Node, knob: Knob | None) -> None:
        before, self._this = self._this, (node, knob)
        try:
            exec(compile(script, f"<{node.name()}>", "exec"), {"nuke": self.module()})
        finally:
            self._this = before

    def to_working(self, picture: Picture, *, raw: bool) -> Picture:
        """Bring light of Rec.709 primaries to the working space of the script."""
        if self.working is None or raw:
            return picture
        names = ("rgba.red", "rgba.green", "rgba.blue")
        light = np.stack([picture.channel(name) for name in names], 2) @ self.working.T
        channels = {**picture.channels, **{n: light[:, :, k].astype(np.float32) for k, n in enumerate(names)}}
        return Picture(channels, picture.origin, picture.display, picture.aspect)

    def tcl_text(self, node: Node, text: str) -> str:
        """Work out [value knob] and [getenv NAME] in a text, by a real Tcl interpreter."""
        tcl = tkinter.Tcl()

        def value(name: str) -> str:
            owner, _, knob = name.rpartition(".")
            holder = {"parent": node.parent, "": node, "root": self.root_node}[owner]
            assert holder is not None
            return str(holder[knob]._value)

        tcl.createcommand("value", value)
        tcl.createcommand("getenv", lambda name: __import__("os").environ.get(name, ""))
        # What is no bracket is no Tcl here: file names hold dollars and backslashes.
        return re.sub(r"\[[^\[\]]*(?:\[[^\]]*\][^\[\]]*)*\]", lambda m: str(tcl.eval(f"return {m[0]}")), text)

    # Nodes

    def add_gizmo(self, path: Path) -> None:
        self.gizmos[path.stem] = path.read_text(encoding="utf-8")

    def create(self, kind: str, name: str | None = None, **knobs: Any) -> Node:
        """Make a node at the top, as an artist does, and run its callback."""
        taken = {node.name() for node in self.nodes}
        name = name or next(f"{kind}{k}" for k in range(1, 99) if f"{kind}{k}" not in taken)
        with self.quiet():
            node = new_node(self, kind, name)
            for knob, value in knobs.items():
                if isinstance(value, dict):
                    node[knob]._curve = dict(value)
                else:
                    node[knob].setValue(value)
        self.nodes.append(node)
        return node

    def created(self, node: Node) -> Node:
        """Run the callback of a node that is complete with its connections."""
        if "onCreate" in node.knobs_by_name:
            self.run_script(node["onCreate"].value(), node, None)
        return node

    @contextmanager
    def quiet(self) -> Iterator[None]:
        before, self._quiet = self._quiet, True
        yield
        self._quiet = before

    def save(self, path: Path) -> None:
        """Write the top nodes as a script."""
        self.root_node["name"].setValue(str(path))
        for call in self.on_save:
            call()
        path.write_text(script_of(self, path), encoding="utf-8")
