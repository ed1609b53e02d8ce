"""Scripts of the stand-in for Nuke (`fake_nuke`): nodes made of gizmos and of saved scripts, read by a real Tcl interpreter."""

from __future__ import annotations

import re
import tkinter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nuke_nodes import CLASSES, DEFAULTS, Node, Refused
from nuke_tcl import brace, read_script, user_knob_options

if TYPE_CHECKING:
    from fake_nuke import Host

KINDS = {
    "1": "String_Knob", "2": "File_Knob", "3": "Int_Knob", "4": "Enumeration_Knob", "6": "Boolean_Knob",
    "7": "Double_Knob", "20": "Tab_Knob", "22": "PyScript_Knob", "26": "Text_Knob",
}  # fmt: skip
"""Kinds of knobs by their numbers in addUserKnob."""


def new_node(host: Host, kind: str, name: str) -> Node:
    """Make a node of a class or of a gizmo that the host knows."""
    node = Node(host, kind, name)
    if kind in host.gizmos:
        commands = read_script(host.gizmos[kind])
        for command, pairs in commands:
            if command == "Gizmo":
                for knob, value in pairs:
                    _set_from_script(node, knob, value)
        _fill(node, commands)
    return node


def _set_from_script(node: Node, knob: str, value: str) -> None:
    if knob != "addUserKnob":
        if knob not in node.knobs_by_name:
            node.add(knob, "String_Knob", "")
        found = node[knob]
        convert = {"Int_Knob": int, "Double_Knob": float, "Boolean_Knob": lambda v: v == "true"}
        found._value = "{" + value + "}" if value.startswith("{") else convert.get(found.Class(), str)(value)
        return
    words = [str(word) for word in tkinter.Tcl().splitlist(value)]
    kind = KINDS[words[0]]
    options = user_knob_options(words[2:])
    choices = [str(c) for c in tkinter.Tcl().splitlist(options["M"])] if "M" in options else None
    made = node.add(words[1], kind, choices[0] if choices else DEFAULTS.get(kind, ""), choices)
    made.tooltip_text, made.script = options.get("t", ""), options.get("T", "")
    made.flags = [word for word in words if (word[:1] in "+-" and word[1:].isupper()) or word[1:].startswith("DO_")]
    if kind == "Text_Knob":
        made._value = options.get("T", "")


def _fill(group: Node, commands: Sequence[tuple[str, list[tuple[str, str]]]]) -> None:
    """Make the nodes inside a gizmo and connect them through the stack of the script."""
    stack: list[Node | None] = []
    named: dict[str, Node | None] = {}
    for kind, pairs in commands:
        if kind == "set":
            named[pairs[0][1]] = stack[-1]
        elif kind == "push":
            stack.append(named[pairs[0][1]] if pairs[0][1] != "0" else None)
        elif kind == "add_layer":
            group.host.layers |= {f"{c}" for c in tkinter.Tcl().splitlist(pairs[0][1])[1:]}
        elif kind in CLASSES:
            values = dict(pairs)
            inner = Node(group.host, kind, values.pop("name"), group)
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


def script_of(host: Host, path: Path) -> str:
    """Return the top nodes as a script: knobs that differ from new ones, and connections."""
    lines = ["Root {", f" name {{{path}}}", "}"]
    for node in host.nodes:
        with host.quiet():
            fresh = new_node(host, node.kind, "x")
        inputs = [source.name() if source else "0" for source in (node.input(k) for k in range(node.inputs()))]
        lines.append(f"{node.kind} {{")
        lines.append(f" name {node.name()}")
        lines.append(f" wired {{{' '.join(inputs)}}}")
        for name, knob in node.knobs_by_name.items():
            if name != "name" and (knob._curve or knob._value != fresh[name]._value):
                lines.append(f" {name} {tkinter.Tcl().eval('list ' + brace(knob.toScript()))}")
        lines.append("}")
    return "\n".join(lines) + "\n"


def load_script(host: Host, text: str) -> None:
    """Make the nodes of a script at the host's top, connect them, then run their callbacks."""
    wires = []
    for kind, pairs in read_script(text):
        values = dict(pairs)
        if kind == "Root":
            # Knobs of the root stand first in a script: while it loads, its name is the one it was saved under.
            host.root_node["name"]._value = values["name"]
            continue
        node = host.create(kind, values.pop("name"))
        wires.append((node, str(values.pop("wired")).split()))
        for name, value in values.items():
            curve = re.match(r"\{curve (.*)\}$", value)
            if curve:
                words = curve[1].split()
                node[name]._curve = {int(a[1:]): float(b) for a, b in zip(words[::2], words[1::2], strict=True)}
            else:
                _set_from_script(node, name, value)
    with host.quiet():
        for node, names in wires:
            for k, name in enumerate(names):
                node.setInput(k, host.toNode(name) if name != "0" else None)
    for node, _ in wires:
        host.created(node)
