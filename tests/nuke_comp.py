"""A comp in the stand-in for Nuke: plates, a Read, an ExpandNet, and the artist before it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
from commands import ROOT, pixels_of, plate, save
from fake_nuke import Host
from nuke_nodes import Node

from expandnet_ofx import Expander, Settings

PLUGIN = ROOT / "nuke_plugin"
BIN = Path(sys.executable).parent
FRAMES = (1001, 1002, 1003)
RGB = ("rgba.red", "rgba.green", "rgba.blue")


class Comp:
    """A script with plates, a Read and an ExpandNet, and the artist before it."""

    def __init__(self, folder: Path, *, gui: bool = True) -> None:
        self.folder = folder
        self.host = Host(gui=gui)
        self.host.add_gizmo(PLUGIN / "ExpandNet.gizmo")
        sys.modules["nuke"] = self.host.module()
        for path in PLUGIN.glob("expandnet_*.py"):
            sys.modules.pop(path.stem, None)
        self.plugin: Any = importlib.import_module("expandnet_nuke")
        if gui:
            exec(compile((PLUGIN / "menu.py").read_text(encoding="utf-8"), "menu.py", "exec"), {})
        self.node: Node

    def build(self, **knobs: Any) -> Node:
        """Write three plates of a pan, and connect them to a node."""
        for k, frame in enumerate(FRAMES):
            picture = plate(1, 40, 80)[:, 3 * k : 3 * k + 64]
            save(self.folder / "in" / f"shot.{frame}.png", picture)
        self.read = self.host.create("Read", file=str(self.folder / "in" / "shot.%04d.png"))
        return self.add(self.read, **knobs)

    def add(self, source: Node | None, mask: Node | None = None, **knobs: Any) -> Node:
        chosen = {"command": str(BIN), "scratch": str(self.folder / "scratch"), "device": "cpu", "steady": "off"}
        self.node = self.host.create("ExpandNet", **{**chosen, **knobs})
        with self.host.quiet():
            self.node.setInput(0, source)
            self.node.setInput(1, mask)
        return self.host.created(self.node)

    def press(self, button: str, node: Node | None = None) -> Any:
        """Press a button and be the interface until all is done."""
        (node or self.node)[button].execute()
        jobs = list(self.plugin.running.values())
        self.host.pump(lambda: not self.plugin.running)
        assert all(job.wait(10) for job in jobs)
        return jobs[-1] if jobs else None

    def shown(self, frame: int = 1001, node: Node | None = None) -> np.ndarray:
        """Return what the node shows."""
        picture = (node or self.node).picture(frame, "main")
        assert picture is not None
        return np.stack([picture.channel(name) for name in RGB], 2)

    def read_picture(self, read: Node, frame: int = 1001) -> np.ndarray:
        """Return what a node of the script gives."""
        picture = read.picture(frame, "main")
        assert picture is not None
        return np.stack([picture.channel(name) for name in RGB], 2)

    @property
    def status(self) -> str:
        return str(self.node["status"].value())

    def close(self) -> None:
        self.plugin._pool.close()


def expected(codes: np.ndarray, **settings: Any) -> np.ndarray:
    """What the product makes of the plate itself."""
    return Expander(Settings(**settings), device="cpu")(codes)


def codes_of(comp: Comp, frame: int) -> np.ndarray:
    return (pixels_of(comp.folder / "in" / f"shot.{frame}.png") * 255).round().astype(np.uint8)
