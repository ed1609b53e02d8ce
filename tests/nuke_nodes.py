"""Nodes and knobs of the stand-in for Nuke (`fake_nuke`): what they hold, and what comes out of them as real picture files.

Pages are those of the Nuke Python API reference, as there.
"""

from __future__ import annotations

import re
import tkinter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nuke_pictures import LETTERS, Picture, evaluate, halved, linearized, read_file, write_file

if TYPE_CHECKING:
    from fake_nuke import Host

DEFAULTS = {"Int_Knob": 0, "Double_Knob": 0.0, "Boolean_Knob": False}
"""What a knob of a kind holds when it is new, empty text if none is here."""

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
