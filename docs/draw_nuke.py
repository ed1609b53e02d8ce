"""Draws the pictures of the guide for artists: the node's panel and its inside, from the gizmo itself, and what it does.

    python docs/draw_nuke.py

No Nuke takes part; fonts and colors are ours.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "examples")]

import plates
from fake_nuke import Host
from nuke_tcl import read_script, user_knob_options

from expandnet_ofx import Expander

GIZMO = (ROOT / "nuke_plugin" / "ExpandNet.gizmo").read_text(encoding="utf-8")
BACK, FRONT, FIELD, DIM, BUTTON = (50, 50, 50), (214, 214, 214), (34, 34, 34), (140, 140, 140), (84, 84, 84)
ROW, LABEL, WIDTH = 26, 170, 620


def font(size: int) -> Any:
    """Return Pillow's own font."""
    return ImageFont.load_default(size)


def knobs() -> list[dict[str, str]]:
    """Return the gizmo's visible knobs in order, with their values."""
    import tkinter

    head = next(pairs for kind, pairs in read_script(GIZMO) if kind == "Gizmo")
    values = {name: value for name, value in head if name != "addUserKnob"}
    found = []
    for name, text in head:
        if name == "addUserKnob" and "+INVISIBLE" not in text:
            words = [str(word) for word in tkinter.Tcl().splitlist(text)]
            options = user_knob_options(words[2:])
            menu = [str(word) for word in tkinter.Tcl().splitlist(options.get("M", ""))]
            value = values.get(words[1], menu[0] if menu else "0")
            same_row = "-STARTLINE" in words
            found.append(
                {**options, "kind": words[0], "name": words[1], "value": value, "row": "" if same_row else "new"}
            )
    return found


def draw_panel(tab: list[dict[str, str]], title: str) -> Image.Image:
    """Draw one tab of the panel."""
    rows: list[list[dict[str, str]]] = []
    for knob in tab:
        if rows and not knob["row"]:
            rows[-1].append(knob)
        else:
            rows.append([knob])
    heights = [
        22 * (k[0]["T"].count("\n") + 1) + 12 if k[0]["kind"] == "26" and "\n" in k[0].get("T", "") else ROW + 4
        for k in rows
    ]
    picture = Image.new("RGB", (WIDTH, 44 + sum(heights) + 12), BACK)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, WIDTH, 30), fill=(38, 38, 38))
    draw.text((14, 7), title, font=font(14), fill=FRONT)
    y = 42
    for row, height in zip(rows, heights, strict=True):
        draw_row(draw, row, y, height)
        y += height
    return picture


def draw_row(draw: ImageDraw.ImageDraw, row: list[dict[str, str]], y: int, height: int) -> None:
    """Draw the knobs of one row."""
    x = LABEL
    for place, knob in enumerate(row):
        kind, label, value = knob["kind"], knob.get("l", ""), knob["value"].strip('"')
        if kind == "26":
            head = label and not knob.get("T", "").strip()
            if head:
                draw.line((12, y + ROW // 2, WIDTH - 12, y + ROW // 2), fill=(80, 80, 80))
                width = draw.textlength(label, font=font(13))
                draw.rectangle((20, y, 32 + width, y + ROW), fill=BACK)
                draw.text((26, y + 5), label, font=font(13), fill=FRONT)
            else:
                draw.multiline_text((26, y + 5), wrapped(knob.get("T", "")), font=font(13), fill=FRONT, spacing=6)
            continue
        if kind == "22":
            width = int(draw.textlength(label, font=font(13))) + 26
            x = 26 if place == 0 else x
            draw.rounded_rectangle((x, y + 1, x + width, y + ROW - 2), 3, fill=BUTTON)
            draw.text((x + 13, y + 5), label, font=font(13), fill=FRONT)
            x += width + 8
            continue
        length = draw.textlength(label, font=font(13))
        if kind == "6":
            draw.rectangle((x, y + 5, x + 14, y + 19), outline=DIM, fill=FIELD)
            draw.text((x + 20, y + 5), label, font=font(13), fill=FRONT)
            x += 40 + int(length)
            continue
        if place == 0:
            draw.text((LABEL - 8 - length, y + 5), label, font=font(13), fill=FRONT)
        else:
            draw.text((x, y + 5), label, font=font(13), fill=DIM)
            x += int(length) + 8
        width = {"7": 70, "3": 60, "4": 170}.get(kind, 150 if place else WIDTH - LABEL - 26)
        draw.rectangle((x, y + 2, x + width, y + ROW - 3), fill=FIELD)
        draw.text((x + 7, y + 5), value + ("   v" if kind == "4" else ""), font=font(13), fill=FRONT)
        if kind == "7":
            low, high = (float(word) for word in knob["R"].split())
            left, right = x + width + 14, WIDTH - 30 if place == 0 else x + width + 14
            if right > left:
                draw.line((left, y + 13, right, y + 13), fill=DIM)
                at = left + (right - left) * (float(value) - low) / (high - low)
                draw.rectangle((at - 3, y + 6, at + 3, y + 20), fill=FRONT)
        x += width + 16


def wrapped(text: str) -> str:
    """Return a text in lines that fit the panel."""
    import textwrap

    return "\n".join("\n".join(textwrap.wrap(line, 84)) for line in text.split("\n"))


def draw_group() -> Image.Image:
    """Draw the nodes inside the gizmo where it places them."""
    host = Host()
    host.add_gizmo(ROOT / "nuke_plugin" / "ExpandNet.gizmo")
    nodes = {
        node.name(): (
            node.kind,
            node["xpos"].value(),
            node["ypos"].value(),
            [i.name() for i in node._inputs.values() if i],
        )
        for node in host.create("ExpandNet").members
    }
    picture = Image.new("RGB", (930, 720), (42, 42, 42))
    draw = ImageDraw.Draw(picture)

    def place(name: str) -> tuple[float, float]:
        _, x, y, _ = nodes[name]
        return 270 + x * 1.1, 150 + y * 1.1

    for name, (_, _, _, inputs) in nodes.items():
        for source in inputs:
            draw.line((*place(source), *place(name)), fill=(150, 150, 150), width=1)
    colors = {"Read": (70, 92, 120), "Write": (120, 92, 60), "Copy": (88, 70, 110), "Expression": (60, 104, 92)}
    for name, (kind, _, _, _) in nodes.items():
        x, y = place(name)
        draw.rounded_rectangle(
            (x - 66, y - 15, x + 66, y + 15), 4, fill=colors.get(kind, (74, 74, 74)), outline=(20, 20, 20)
        )
        draw.text((x, y), name, font=font(13), fill=FRONT, anchor="mm")
    notes = {
        "PlateWrite": "off but for the moment\nin which a plate is written",
        "ResultRead": "black where a frame is missing;\non the farm an error",
        "Merge": "plate where the matte is 0, else\nplate x (light / plate) ^ (mix x mask)",
        "RemoveMatte": "off while output matte is on",
    }
    for name, text in notes.items():
        x, y = place(name)
        left = name == "PlateWrite"
        at = (x - 60, y + 24) if left else (x + 78, y - 15)
        draw.multiline_text(at, text, font=font(12), fill=DIM, spacing=4)
    return picture


def draw_sheet() -> Image.Image:
    """Draw a plate and its light at 0, -2 and -4 stops."""
    codes = plates.expose(plates.render("night"))
    light = Expander()(codes)
    linear = np.where(codes / 255 <= 0.04045, codes / 255 / 12.92, ((codes / 255 + 0.055) / 1.055) ** 2.4)
    rows = []
    for stops in (0, -2, -4):
        pair = np.concatenate((linear, light), 1) * 2.0**stops
        shown = np.where(pair <= 0.0031308, 12.92 * pair, 1.055 * np.maximum(pair, 1e-9) ** (1 / 2.4) - 0.055)
        rows.append(np.clip(shown * 255 + 0.5, 0, 255).astype(np.uint8))
    picture = Image.fromarray(np.concatenate(rows, 0))
    draw = ImageDraw.Draw(picture)
    for k, stops in enumerate((0, -2, -4)):
        for column, what in enumerate(("plate", "ExpandNet")):
            at = (column * codes.shape[1] + 10, k * codes.shape[0] + 8)
            draw.text(
                at, f"{what}, {stops} stops", font=font(15), fill=(235, 235, 235), stroke_width=2, stroke_fill=(0, 0, 0)
            )
    return picture


def main() -> None:
    """Write the pictures into docs/."""
    tabs: list[list[dict[str, str]]] = []
    titles = []
    for knob in knobs():
        if knob["kind"] == "20":
            tabs.append([])
            titles.append(knob["l"])
        else:
            tabs[-1].append(knob)
    panels = [draw_panel(tab, title) for tab, title in zip(tabs, titles, strict=True)]
    right = panels[1:]
    height = max(panels[0].height, sum(panel.height for panel in right) + 20 * (len(right) - 1))
    sheet = Image.new("RGB", (2 * WIDTH + 20, height), (24, 24, 24))
    sheet.paste(panels[0], (0, 0))
    y = 0
    for panel in right:
        sheet.paste(panel, (WIDTH + 20, y))
        y += panel.height + 20
    sheet.save(ROOT / "docs" / "nuke-panel.png", optimize=True)
    draw_group().save(ROOT / "docs" / "nuke-group.png", optimize=True)
    draw_sheet().save(ROOT / "docs" / "nuke-sheet.png", optimize=True)


if __name__ == "__main__":
    main()
