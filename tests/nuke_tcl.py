"""Scripts and gizmos of Nuke, read by a real Tcl interpreter: they are Tcl, a node is a command with a body."""

from __future__ import annotations

import re
import tkinter
from collections.abc import Callable
from typing import Any


def brace(text: str) -> str:
    """Return a text as one Tcl word."""
    return "{" + text + "}" if text.count("{") == text.count("}") else re.sub(r"([\s\[\]{}$\"\\])", r"\\\1", text)


def user_knob_options(words: list[str]) -> dict[str, str]:
    """Return the options of addUserKnob: l label, t tooltip, T text, M menu, R range of two numbers."""
    found, k = {}, 0
    while k < len(words):
        if words[k][:1] in ("+", "-") and not re.match(r"-\d", words[k]):
            k += 1
        elif words[k] == "R":
            found["R"] = f"{words[k + 1]} {words[k + 2]}"
            k += 3
        else:
            found[words[k]] = words[k + 1]
            k += 2
    return found


def read_script(text: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Read a script by a real Tcl interpreter: each command with its knobs, in order.

    Nuke scripts are Tcl: a node is a command with a body; `set`, `push` and `end_group` are commands too.
    """
    found: list[tuple[str, list[tuple[str, str]]]] = []

    def command(kind: str, *words: str) -> str:
        if kind == "stack":
            return "top"
        if kind in ("push", "set", "version", "add_layer", "end_group"):
            found.append((kind, [("", str(words[0]) if words else "")]))
        else:
            pairs: list[tuple[str, str]] = []
            run_tcl(str(words[0]), lambda name, *values: pairs.append((name, " ".join(map(str, values)))))
            found.append((kind, pairs))
        return ""

    # `$N` is what was set before; names stand for themselves here.
    run_tcl(re.sub(r"(?m)^push \$(\w+)$", r"push \1", text), command)
    return found


def run_tcl(text: str, command: Callable[..., Any]) -> None:
    """Run a script in which every command, also one that Tcl itself has, is ours."""
    tcl = tkinter.Tcl()
    tcl.createcommand("recorder", command)
    tcl.eval("interp create bare; foreach name [bare eval {info commands}] {bare hide $name}")
    tcl.eval("bare alias unknown recorder")
    tcl.call("interp", "eval", "bare", text)
