"""What tells an OpenColorIO config from another: its file, and the tables that it leads to."""

from __future__ import annotations

from pathlib import Path

import fakes
import numpy as np
import OpenImageIO as oiio
import pytest
from commands import plate, save, start

from expandnet_ofx import Expander, Settings, config_files
from expandnet_ofx.color import input_encoding
from expandnet_ofx.errors import UsageError

CONFIG = """ocio_profile_version: 2
{more}
roles:
  default: lin
  scene_linear: lin
file_rules:
  - !<Rule> {{name: Default, colorspace: lin}}
displays:
  sRGB:
    - !<View> {{name: Raw, colorspace: lin}}
colorspaces:
  - !<ColorSpace>
    name: lin
    aliases: [lin_rec709_scene]
  - !<ColorSpace>
    name: scan
    to_scene_reference: !<FileTransform> {{src: {source}}}
"""


def write(folder: Path, source: str = "curve.spi1d", more: str = "search_path: luts") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.ocio"
    path.write_text(CONFIG.format(source=source, more=more))
    return path


def write_table(path: Path, gamma: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = "\n".join(f"{value:.6f}" for value in np.linspace(0, 1, 256) ** gamma)
    path.write_text(f"Version 1\nFrom 0 1\nLength 256\nComponents 1\n{{\n{values}\n}}\n")


def record(path: Path) -> str:
    """Return what a process of its own says."""
    config_files._table_hash.cache_clear()
    return config_files.config_record(str(path))


@pytest.mark.parametrize(
    ("more", "source", "table"),
    [
        ("search_path: luts", "curve.spi1d", "luts/curve.spi1d"),
        ("search_path: absent:luts", "{src}", "luts/curve.spi1d"),
        ('search_path: ["absent", luts]', '"curve.spi1d"', "luts/curve.spi1d"),
        ("search_path:\n  - absent\n  - luts", "sub/curve.spi1d", "luts/sub/curve.spi1d"),
        ("", "curve.spi1d", "curve.spi1d"),
        ("search_path: $SHOT", "curve.spi1d", "s1/curve.spi1d"),
        ("search_path: luts", '"${SHOT}.spi1d"', "luts/s1.spi1d"),
        ("search_path: luts\nenvironment:\n  LOOK: warm", '"%LOOK%.spi1d"', "luts/warm.spi1d"),
        ("environment: {LOOK: warm, SHOT: other}", "$SHOT-$LOOK.spi1d", "s1-warm.spi1d"),
        ("search_path: luts  # of the show", "'curve.spi1d'", "luts/curve.spi1d"),
        ("search_path:\n  # of the show\n  - absent\n  - 'a, b [c]'", "curve.spi1d", "a, b [c]/curve.spi1d"),
        ("search_path: [absent,\n  luts]", '"sub\\x2Fcurve.spi1d"', "luts/sub/curve.spi1d"),
        ("environment: # defaults\n  LOOK: warm # by day", '"${LOOK}.spi1d"', "warm.spi1d"),
        ("environment: {A: B, Bh: deep}", '"$${A}h.spi1d"', "deep.spi1d"),
        ("environment: {SH: other, SH_LONG: right}", "$SH_LONG.spi1d", "right.spi1d"),
    ],
)
def test_the_tables_that_a_config_leads_to_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, source: str, table: str
) -> None:
    monkeypatch.setenv("SHOT", "s1")
    path = write(tmp_path / "one", source.replace("{src}", "curve.spi1d"), more)
    assert oiio.ColorConfig(str(path)).geterror() == ""
    alone = record(path)
    write_table(path.parent / table, 2.2)
    first = record(path)
    write_table(path.parent / table, 2.6)
    assert len({alone, first, record(path)}) == 3
    # Not where it lies.
    other = write(tmp_path / "other", source.replace("{src}", "curve.spi1d"), more)
    write_table(other.parent / table, 2.2)
    assert record(other) == first


@pytest.mark.parametrize("head", ["# a comment\n", "---\n", "%YAML 1.2\n---\n", "\ufeff"])
def test_whatever_a_config_begins_with_its_tables_count(tmp_path: Path, head: str) -> None:
    path = write(tmp_path)
    path.write_text(head + path.read_text())
    before = record(path)
    write_table(tmp_path / "luts" / "curve.spi1d", 2.2)
    assert record(path) != before


def test_a_config_is_read_each_time_and_a_table_once_as_they_act(tmp_path: Path) -> None:
    for name, gamma in (("a", 2.2), ("b", 3.0)):
        write_table(tmp_path / "luts" / f"{name}.spi1d", gamma)

    def said() -> tuple[str, float]:
        light = Expander(Settings(ocio=str(path), input_space="scan"), engine=fakes.BoxEngine())(
            np.full((4, 4, 3), 0.5)
        )
        return config_files.config_record(str(path)), float(light[0, 0, 0])

    path = write(tmp_path, "a.spi1d")
    first = said()
    write_table(tmp_path / "luts" / "a.spi1d", 1.5)
    assert said() == first
    write(tmp_path, "b.spi1d")
    assert (said()[0] != first[0]) == (said()[1] != pytest.approx(first[1]))


def test_an_archive_is_told_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "config.ocioz"
    path.write_bytes(b"PK\x03\x04 src: curve.spi1d")
    before = record(path)
    (tmp_path / "curve.spi1d").write_text("x")
    assert record(path) == before


def test_another_table_makes_results_anew(tmp_path: Path) -> None:
    save(tmp_path / "a.png", plate())
    write_table(write(tmp_path / "c").parent / "luts" / "curve.spi1d", 2.2)

    def run() -> str:
        words = ("a.png", "-o", "out", "--existing", "skip", "--ocio", "c/config.ocio", "--input-space", "scan")
        process = start(*words, cwd=tmp_path)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return out

    assert "1 done" in run()
    assert "1 up to date" in run()
    before = (tmp_path / "out" / "a.exr").read_bytes()
    write_table(tmp_path / "c" / "luts" / "curve.spi1d", 2.6)
    assert "1 done" in run()
    assert (tmp_path / "out" / "a.exr").read_bytes() != before


def test_a_config_without_the_space_that_light_is_measured_by_says_so(tmp_path):
    path = write(tmp_path)
    path.write_text(path.read_text().replace("aliases: [lin_rec709_scene]", "aliases: [plain]"))
    with pytest.raises(UsageError, match=r"--ocio .*config\.ocio: has no space lin_rec709_scene; add that alias"):
        input_encoding("scan", ocio=str(path))
