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
from nuke_pictures import LETTERS, Picture, evaluate, halved, linearized, read_file, write_file
from nuke_tcl import brace, read_script, user_knob_options

KINDS = {
    "1": "String_Knob", "2": "File_Knob", "3": "Int_Knob", "4": "Enumeration_Knob", "6": "Boolean_Knob",
    "7": "Double_Knob", "20": "Tab_Knob", "22": "PyScript_Knob", "26": "Text_Knob",
}  # fmt: skip
DEFAULTS = {"Int_Knob": 0, "Double_Knob": 0.0, "Boolean_Knob": False}

CLASSES: dict[str, dict[str, Any]] = {
    "Read": {"file": "", "file_type": "", "first": 1, "last": 1, "origfirst": 1, "origlast": 1, "origset": False,
             "on_error": "error", "localizationPolicy": "", "raw": False, "colorspace": "sRGB", "reload": None},
    "Write": {"file": "", "file_type": "", "datatype": "", "compression": "", "raw": False, "channels": "rgb",
              "create_directories": False, "autocrop": False, "metadata": "", "checkHashOnRead": True,
              "disable": False, "colorspace": "linear"},
    "Copy": {**{f"from{k}": "" for k in range(4)}, **{f"to{k}": "" for k in range(4)}},
    "Expression": {"temp_name0": "", "temp_expr0": "", "temp_name1": "", "temp_expr1": "",
                   **{f"channel{k}": f"rgba.{c}" for k, c in enumerate(("red", "green", "blue", "alpha"))},
                   **{f"expr{k}": "" for k in range(4)}},
    "Remove": {"operation": "remove", "channels": "all", "disable": False},
    "Input": {"number": 0},
    "Output": {},
}  # fmt: skip
"""Node classes that are known, with their knobs and defaults; an unknown knob of these is an error."""

EVERYWHERE = {"name": "", "xpos": 0, "ypos": 0, "label": "", "tile_color": 0}


class Refused(AssertionError):
    """What Nuke would not allow."""


class Knob:
    """nuke.Knob and its like (nuke.Knob.html, nuke.File_Knob.html, nuke.Enumeration_Knob.html)."""

    def __init__(self, node: Node, name: str, kind: str, value: Any, choices: list[str] | None = None) -> None:
        self._node, self._name, self._kind, self._value = node, name, kind, value
        self._choices = choices
        self._curve: dict[int, float] = {}
        self.tooltip_text = ""
        self.flags: list[str] = []
        self.script = ""

    def name(self) -> str:
        return self._name

    def Class(self) -> str:
        return self._kind

    def value(self) -> Any:
        self._node.host.check_thread()
        return self.valueAt(self._node.host.current) if self._curve else self._value

    def valueAt(self, time: float) -> Any:
        self._node.host.check_thread()
        if not self._curve:
            return self._value
        return float(np.interp(time, sorted(self._curve), [self._curve[k] for k in sorted(self._curve)]))

    def setAnimated(self) -> None:
        self._curve = {}

    def setValueAt(self, value: float, time: int) -> None:
        self._curve[time] = value
        self._node.host.knob_changed(self._node, self)

    def isAnimated(self) -> bool:
        return bool(self._curve)

    def setValue(self, val: Any) -> bool:
        self._node.host.check_thread()
        value = val
        if self._kind == "Enumeration_Knob":
            value = self._choices[value] if isinstance(value, int) else value
            assert value in self._choices, f"{self._name}: {value!r} is not one of {self._choices}"
        if self._kind in DEFAULTS:
            value = type(DEFAULTS[self._kind])(value)
        before, self._value = self._value, value
        if before != value:
            self._node.host.knob_changed(self._node, self)
        return True

    def toScript(self) -> str:
        if self._curve:
            return "{curve " + " ".join(f"x{time} {value!r}" for time, value in sorted(self._curve.items())) + "}"
        return str(self._value).lower() if isinstance(self._value, bool) else str(self._value)

    def evaluate(self) -> str:
        """File_Knob.evaluate: the path with its expressions worked out; None without a path."""
        assert self._kind == "File_Knob", f"{self._name} is a {self._kind}, which has no evaluate"
        return self._node.host.tcl_text(self._node, self._value) or None  # type: ignore[return-value]

    def getEvaluatedValue(self) -> str:
        """File_Knob.getEvaluatedValue."""
        return self.evaluate()

    def execute(self) -> None:
        """Script_Knob.execute: press the button."""
        if self._name == "reload":
            self._node.reloads += 1
            return
        assert self._kind == "PyScript_Knob", self._name
        self._node.host.run_script(self.script, self._node, self)


class Enumeration(Knob):
    """nuke.Enumeration_Knob.html."""

    def enumName(self, n: int) -> str:
        assert self._choices
        return self._choices[n]


class Node:
    """nuke.Node.html, nuke.Group.html."""

    def __init__(self, host: Host, kind: str, name: str, parent: Node | None = None) -> None:
        self.host, self.kind, self.parent = host, kind, parent
        self.knobs_by_name: dict[str, Knob] = {}
        self._inputs: dict[int, Node | None] = {}
        self.members: list[Node] = []
        self.reloads = 0
        self.copies_that_are_clones = 0
        for knob, value in {**EVERYWHERE, **CLASSES.get(kind, {})}.items():
            self.add(knob, {str: "File_Knob" if knob == "file" else "String_Knob", bool: "Boolean_Knob",
                            int: "Int_Knob", type(None): "PyScript_Knob"}[type(value)], value)  # fmt: skip
        self.knobs_by_name["name"]._value = name

    def add(self, name: str, kind: str, value: Any, choices: list[str] | None = None) -> Knob:
        made = (Enumeration if kind == "Enumeration_Knob" else Knob)(self, name, kind, value, choices)
        self.knobs_by_name[name] = made
        return made

    def Class(self) -> str:
        return self.kind

    def name(self) -> str:
        self.host.check_thread()
        return str(self.knobs_by_name["name"]._value)

    def fullName(self) -> str:
        return self.name() if self.parent is None else f"{self.parent.fullName()}.{self.name()}"

    def knob(self, p: str) -> Knob | None:
        self.host.check_thread()
        return self.knobs_by_name.get(p)

    def __getitem__(self, name: str) -> Knob:
        self.host.check_thread()
        if name not in self.knobs_by_name:
            raise NameError(f"knob {name} does not exist")
        return self.knobs_by_name[name]

    def input(self, index: int) -> Node | None:
        self.host.check_thread()
        return self._inputs.get(index)

    def inputs(self) -> int:
        return max((k + 1 for k, node in self._inputs.items() if node is not None), default=0)

    def setInput(self, i: int, node: Node | None) -> bool:
        self._inputs[i] = node
        self.host.knob_changed(self, Knob(self, "inputChange", "Obsolete_Knob", None))
        return True

    def clones(self) -> int:
        """Node.clones: how many clones there are; the test's own."""
        return self.copies_that_are_clones

    def node(self, s: str) -> Node | None:
        self.host.check_thread()
        return next((member for member in self.members if member.name() == s), None)

    # What it shows

    def number(self, knob: str) -> float:
        """Return a knob's value, its expression worked out."""
        found = self.knobs_by_name[knob]
        text = found._value
        if isinstance(text, str) and text.startswith("{{") and text.endswith("}}"):
            inner = str(tkinter.Tcl().splitlist(text[2:-2])[0])
            inner = re.sub(r"\[exists input(\d)\]", lambda m: str(int(self._inputs.get(int(m[1])) is not None)), inner)
            return float(evaluate(inner.replace("$gui", str(int(self.host.GUI))), self.reference))
        return float(found.value())

    def reference(self, name: str) -> float:
        owner, _, knob = name.rpartition(".")
        assert owner == "parent", name
        assert self.parent is not None
        return self.parent.number(knob)

    def picture(self, frame: int, view: str) -> Picture | None:
        """Return what comes out at a frame; None where nothing is connected."""
        how = getattr(self, f"_{self.kind.lower()}", None)
        if self.members:
            return self.node("Output1").picture(frame, view)  # type: ignore[union-attr]
        if how is None:
            raise Refused(f"{self.kind}: a class that the fake host does not know")
        return how(frame, view)

    def _up(self, i: int, frame: int, view: str) -> Picture | None:
        node = self._inputs.get(i)
        return None if node is None else node.picture(frame, view)

    def _input(self, frame: int, view: str) -> Picture | None:
        assert self.parent is not None
        return self.parent._up(int(self["number"].value()), frame, view)

    def _output(self, frame: int, view: str) -> Picture | None:
        return self._up(0, frame, view)

    def path(self, frame: int, view: str) -> Path:
        text = self.host.tcl_text(self, self["file"].value())
        return Path(text.replace("%V", view).replace("%04d", f"{frame:04d}"))

    def _read(self, frame: int, view: str) -> Picture | None:
        path = self.path(frame, view)
        if not path.is_file():
            choices = ["error", "black", "checkerboard", "nearest frame"]
            how = self["on_error"].value()
            how = choices[int(self.number("on_error"))] if how.startswith("{{") else how
            if how == "error":
                raise RuntimeError(f"{self.fullName()}: Read error: No such file or directory {path}")
            return Picture({"rgba.red": np.zeros((1, 1), np.float32)})
        picture = read_file(path)
        picture = picture if self["raw"].value() else linearized(picture, self["colorspace"].value())
        picture = self.host.to_working(picture, raw=bool(self["raw"].value()))
        return halved(picture) if self.host.proxy_on else picture

    def _copy(self, frame: int, view: str) -> Picture | None:
        onto, source = self._up(0, frame, view), self._up(1, frame, view)
        assert onto is not None
        channels = dict(onto.channels)
        for k in range(4):
            name, target = self[f"from{k}"].value(), self[f"to{k}"].value()
            if name:
                self.host.check_channel(target)
                found = np.zeros_like(onto.channel(target)) if source is None else source.channel(name)
                # Black of a missing frame has no size of its own.
                channels[target] = (
                    found if found.shape == onto.channel(target).shape else np.zeros_like(onto.channel(target))
                )
        return Picture(channels, onto.origin, onto.display, onto.aspect)

    def _expression(self, frame: int, view: str) -> Picture | None:
        picture = self._up(0, frame, view)
        assert picture is not None

        def look_up(name: str) -> Any:
            for k in (0, 1):
                if name == self[f"temp_name{k}"].value():
                    return evaluate(self[f"temp_expr{k}"].value(), look_up)
            if name in LETTERS:
                return picture.channel(LETTERS[name])
            if name.startswith("parent."):
                return self.reference(name)
            self.host.check_channel(name)
            return picture.channel(name)

        channels = dict(picture.channels)
        for k in range(4):
            text = self[f"expr{k}"].value()
            # A set of channels: those with a minus are known and left out.
            chosen = [word for word in self[f"channel{k}"].value().split() if not word.startswith("-")]
            for target in chosen if text else ():
                value = evaluate(text, look_up)
                channels[target] = np.broadcast_to(np.asarray(value, np.float32), picture.size[::-1])
        return Picture(channels, picture.origin, picture.display, picture.aspect)

    def _remove(self, frame: int, view: str) -> Picture | None:
        picture = self._up(0, frame, view)
        assert picture is not None
        if self.number("disable"):
            return picture
        layer = self["channels"].value()
        kept = {name: value for name, value in picture.channels.items() if not name.startswith(f"{layer}.")}
        return Picture(kept, picture.origin, picture.display, picture.aspect)

    def _write(self, frame: int, view: str) -> Picture | None:
        return self._up(0, frame, view)

    def write(self, frame: int, view: str) -> None:
        assert self["raw"].value(), "color managed: the file would not hold what the node gets"
        picture = self._up(0, frame, view)
        if picture is None:
            raise RuntimeError(f"{self.fullName()}: no input")
        path = self.path(frame, view)
        if self["create_directories"].value():
            path.parent.mkdir(parents=True, exist_ok=True)
        layer = {"rgb": ["rgba.red", "rgba.green", "rgba.blue"]}
        layer["rgba"] = [*layer["rgb"], "rgba.alpha"]
        assert self["datatype"].value() == "16 bit half"
        if self.host.disk_full:
            raise RuntimeError(f"{self.fullName()}: Write failed: No space left on device")
        error = write_file(path, picture, layer[self["channels"].value()], "half", self["compression"].value())
        if error:
            raise RuntimeError(f"{self.fullName()}: {error}")


class Root(Node):
    """nuke.Root.html."""

    def firstFrame(self) -> int:
        return int(self["first_frame"].value())

    def lastFrame(self) -> int:
        return int(self["last_frame"].value())

    def proxy(self) -> bool:
        self.host.check_thread()
        return self.host.proxy_on

    def setProxy(self, on: bool) -> None:
        self.host.check_thread()
        self.host.proxy_on = bool(on)


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
        self._load(Path(filename).read_text(encoding="utf-8"))
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
            node = self._gizmo(kind, name) if kind in self.gizmos else Node(self, kind, name)
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

    def _gizmo(self, kind: str, name: str) -> Node:
        gizmo = Node(self, kind, name)
        for command in read_script(self.gizmos[kind]):
            if command[0] == "Gizmo":
                for knob, value in command[1]:
                    self._head_knob(gizmo, knob, value)
        build(self, gizmo, read_script(self.gizmos[kind]))
        return gizmo

    def _head_knob(self, gizmo: Node, knob: str, value: str) -> None:
        if knob != "addUserKnob":
            if knob not in gizmo.knobs_by_name:
                gizmo.add(knob, "String_Knob", "")
            found = gizmo[knob]
            convert = {"Int_Knob": int, "Double_Knob": float, "Boolean_Knob": lambda v: v == "true"}
            found._value = "{" + value + "}" if value.startswith("{") else convert.get(found.Class(), str)(value)
            return
        words = [str(word) for word in tkinter.Tcl().splitlist(value)]
        kind = KINDS[words[0]]
        options = user_knob_options(words[2:])
        choices = [str(c) for c in tkinter.Tcl().splitlist(options["M"])] if "M" in options else None
        made = gizmo.add(words[1], kind, choices[0] if choices else DEFAULTS.get(kind, ""), choices)
        made.tooltip_text, made.script = options.get("t", ""), options.get("T", "")
        made.flags = [word for word in words if (word[:1] in "+-" and word[1:].isupper()) or word[1:].startswith("DO_")]
        if kind == "Text_Knob":
            made._value = options.get("T", "")

    # Scripts

    def save(self, path: Path) -> None:
        """Write the top nodes as a script, knobs that differ from new ones and connections."""
        self.root_node["name"].setValue(str(path))
        for call in self.on_save:
            call()
        lines = ["Root {", f" name {{{path}}}", "}"]
        for node in self.nodes:
            fresh = self._fresh(node)
            inputs = [source.name() if source else "0" for source in (node.input(k) for k in range(node.inputs()))]
            lines.append(f"{node.kind} {{")
            lines.append(f" name {node.name()}")
            lines.append(f" wired {{{' '.join(inputs)}}}")
            for name, knob in node.knobs_by_name.items():
                if name != "name" and (knob._curve or knob._value != fresh[name]._value):
                    lines.append(f" {name} {tkinter.Tcl().eval('list ' + brace(knob.toScript()))}")
            lines.append("}")
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _fresh(self, node: Node) -> Node:
        with self.quiet():
            return self._gizmo(node.kind, "x") if node.kind in self.gizmos else Node(self, node.kind, "x")

    def _load(self, text: str) -> None:
        wires = []
        for kind, pairs in read_script(text):
            values = dict(pairs)
            if kind == "Root":
                # Knobs of the root stand first in a script: while it loads, its name is the one it was saved under.
                self.root_node["name"]._value = values["name"]
                continue
            node = self.create(kind, values.pop("name"))
            wires.append((node, str(values.pop("wired")).split()))
            for name, value in values.items():
                curve = re.match(r"\{curve (.*)\}$", value)
                if curve:
                    words = curve[1].split()
                    node[name]._curve = {int(a[1:]): float(b) for a, b in zip(words[::2], words[1::2], strict=True)}
                else:
                    self._head_knob(node, name, value)
        with self.quiet():
            for node, names in wires:
                for k, name in enumerate(names):
                    node.setInput(k, self.toNode(name) if name != "0" else None)
        for node, _ in wires:
            self.created(node)


def build(host: Host, group: Node, commands: list[tuple[str, list[tuple[str, str]]]]) -> None:
    """Make the nodes inside a gizmo and connect them through the stack of the script."""
    stack: list[Node | None] = []
    named: dict[str, Node | None] = {}
    for kind, pairs in commands:
        if kind == "set":
            named[pairs[0][1]] = stack[-1]
        elif kind == "push":
            stack.append(named[pairs[0][1]] if pairs[0][1] != "0" else None)
        elif kind == "add_layer":
            host.layers |= {f"{c}" for c in tkinter.Tcl().splitlist(pairs[0][1])[1:]}
        elif kind in CLASSES:
            values = dict(pairs)
            inner = Node(host, kind, values.pop("name"), group)
            count = int(values.pop("inputs", 1))
            for k in range(count):
                inner._inputs[k] = stack.pop()
            for name, value in values.items():
                if name not in inner.knobs_by_name:
                    raise Refused(f"{kind}: has no knob {name}")
                known = inner[name].Class()
                expression = value.startswith("{")
                convert = {"Int_Knob": int, "Boolean_Knob": lambda v: v == "true"}
                inner[name]._value = "{" + value + "}" if expression else convert.get(known, str)(value)
            group.members.append(inner)
            stack.append(inner)
        elif kind not in ("version", "Gizmo", "end_group"):
            raise Refused(f"{kind}: a class that the fake host does not know")
