"""What a batch does with results that are there: refuse, replace, or keep those that are the same."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from commands import ROOT, batch, files_in, plate, save

pytestmark = pytest.mark.usefixtures("light_network")


def test_existing_error_stops_before_any_work(shot: Path) -> None:
    Path("out").mkdir()
    Path("out/shot.1003.exr").write_text("mine")
    ran = batch("in", "-o", "out", "--existing", "error")
    assert ran.code == 2
    assert "shot.1003.exr" in ran.complaint
    assert files_in(Path("out")) == ["shot.1003.exr"]
    assert Path("out/shot.1003.exr").read_text() == "mine"


def test_existing_overwrite_is_the_default_and_reruns_are_identical(shot: Path) -> None:
    Path("out").mkdir()
    Path("out/shot.1001.exr").write_text("old")
    assert batch("in", "-o", "out").code == 0
    first = {name: Path("out", name).read_bytes() for name in files_in(Path("out"))}
    assert batch("in", "-o", "out").code == 0
    assert {name: Path("out", name).read_bytes() for name in files_in(Path("out"))} == first


class Made:
    """One converted frame, and whether a rerun with `--existing skip` left it alone."""

    def __init__(self, *words: str, source: str = "a.ppm", result: str = "out/a.exr") -> None:
        self.words = words
        self.source, self.result = Path(source), Path(result)
        if not self.source.exists():
            save(self.source, plate(1, 64, 40))
        assert batch(self.source, "-o", "out", *words).code == 0
        self.good = self.result.read_bytes()

    def kept_by(self, *words: str) -> bool:
        """A file that is written again gets another inode, because it is renamed into place."""
        before = self.result.stat().st_ino
        ran = batch(self.source, "-o", "out", "--existing", "skip", *words, "--json", "report.json")
        assert ran.code == 0, ran.err
        kept = self.result.stat().st_ino == before
        frame = json.loads(Path("report.json").read_text())["frames"][0]
        assert frame["status"] == ("skipped" if kept else "done")
        return kept


def test_skip_keeps_what_is_the_same() -> None:
    made = Made()
    assert made.kept_by()
    os.utime(made.source, (1, 1))
    assert made.kept_by()
    assert made.kept_by("--progress", "json", "-v", "--memory", "2GiB")
    shutil.copy(made.source, "b.ppm")
    Path("b.ppm").replace(made.source)
    assert made.kept_by()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.9, 0.999])
def test_skip_redoes_a_cut_result(share: float) -> None:
    made = Made()
    made.result.write_bytes(made.good[: int(share * len(made.good))])
    assert not made.kept_by()
    assert made.result.read_bytes() == made.good


def test_skip_redoes_a_cut_result_of_several_parts() -> None:
    specs = []
    for name in ("left", "right"):
        spec = oiio.ImageSpec(40, 64, 3, "half")
        spec.attribute("name", name)
        specs.append(spec)
    output = oiio.ImageOutput.create("two.exr")
    assert output.open("two.exr", tuple(specs))
    for index, spec in enumerate(specs):
        assert not index or output.open("two.exr", spec, "AppendSubimage")
        assert output.write_image(plate(index, 64, 40).astype(np.float32) / 255)
    output.close()
    made = Made(source="two.exr", result="out/two.exr")
    assert made.kept_by()
    for share in (0.6, 0.8, 0.99):
        made.result.write_bytes(made.good[: int(share * len(made.good))])
        assert not made.kept_by(), share


def test_skip_redoes_a_result_with_damaged_rows() -> None:
    made = Made("--compression", "zips")
    middle = len(made.good) * 2 // 3
    made.result.write_bytes(made.good[:middle] + b"\xff" * 64 + made.good[middle + 64 :])
    assert not made.kept_by("--compression", "zips")


@pytest.mark.parametrize(
    "words",
    [
        ["--stops", "1"],
        ["--threshold", "0.9"],
        ["--white", "0.9"],
        ["--float"],
        ["--matte"],
        ["--compression", "piz"],
        ["--output-space", "acescg"],
        ["--input-space", "bt1886"],
        ["--mask", "mask.png"],
    ],
)
def test_skip_redoes_with_other_settings(words: list[str]) -> None:
    save(Path("mask.png"), np.full((64, 40, 1), 255, np.uint8))
    made = Made()
    assert not made.kept_by(*words)
    assert made.kept_by(*words)
    assert not made.kept_by()
    assert made.result.read_bytes() == made.good


def test_skip_redoes_a_replaced_source_of_same_size_and_time() -> None:
    made = Made()
    stat = made.source.stat()
    save(made.source, plate(2, 64, 40))
    assert made.source.stat().st_size == stat.st_size
    os.utime(made.source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not made.kept_by()


def test_skip_redoes_with_another_mask_of_same_name() -> None:
    save(Path("mask.ppm"), np.full((64, 40, 3), 255, np.uint8))
    made = Made("--mask", "mask.ppm")
    assert made.kept_by("--mask", "mask.ppm")
    save(Path("mask.ppm"), np.full((64, 40, 3), 0, np.uint8))
    assert not made.kept_by("--mask", "mask.ppm")


def test_skip_redoes_with_other_weights(default_weights: object) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    shipped = next((ROOT / "expandnet_ofx" / "weights").glob("*.safetensors"))
    with safe_open(shipped, "numpy") as file:
        state, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    name = sorted(state)[0]
    state[name] = state[name] + np.float32(1e-3)
    save_file(state, "other.safetensors", metadata)
    made = Made()
    assert made.kept_by("--weights", str(shipped))
    assert not made.kept_by("--weights", "other.safetensors")


def test_skip_works_for_tiff() -> None:
    save(Path("a.ppm"), plate(1, 64, 40))
    inodes = []
    for _ in range(2):
        assert batch("a.ppm", "-o", "out/a.tif", "--existing", "skip").code == 0
        inodes.append(Path("out/a.tif").stat().st_ino)
    assert inodes[0] == inodes[1]
    good = Path("out/a.tif").read_bytes()
    Path("out/a.tif").write_bytes(good[: len(good) // 2])
    assert batch("a.ppm", "-o", "out/a.tif", "--existing", "skip").code == 0
    assert Path("out/a.tif").read_bytes() == good


def test_skip_makes_up_for_what_is_missing_beside_a_result() -> None:
    made = Made("--preview", "all")
    sheet = Path("out/a.preview.png")
    assert made.kept_by("--preview", "all")
    sheet.unlink()
    assert made.kept_by(), "no sheet was asked for"
    assert not made.kept_by("--preview", "all")
    assert sheet.stat().st_size
    words = ("--matte", "--output-space", "aces2065-1")
    container = Made(*words)
    matte = Path("out/a.matte.exr")
    good = matte.read_bytes()
    assert container.kept_by(*words)
    matte.write_bytes(good[:-200])
    assert not container.kept_by(*words)
    assert matte.read_bytes() == good


def test_skip_does_not_keep_the_sheet_of_another_result() -> None:
    made = Made("--stops", "0", "--preview", "all")
    sheet = Path("out/a.preview.png")
    before = sheet.read_bytes()
    assert batch(made.source, "-o", "out", "--stops", "4").code == 0
    assert not made.kept_by("--stops", "4", "--preview", "all")
    assert sheet.read_bytes() != before
    assert made.kept_by("--stops", "4", "--preview", "all")
    sheet.write_bytes(sheet.read_bytes()[:-300])
    assert not made.kept_by("--stops", "4", "--preview", "all")


ACES = ("--matte", "--output-space", "aces2065-1")


@pytest.mark.parametrize(
    ("names", "words", "lost"),
    [
        (("in/a.png", "in/a.matte.png"), ACES, "a.matte.exr"),
        (("in/a.png", "in/b.preview.png", "in/b.png"), ("--preview", "all", "-o", "in"), "b.preview.png"),
    ],
)
def test_what_lies_beside_a_result_replaces_nothing(names: tuple[str, ...], words: tuple[str, ...], lost: str) -> None:
    for name in names:
        save(Path(name), plate(1, 32, 32))
    output = () if "-o" in words else ("-o", "out")
    before = {name: Path(name).read_bytes() for name in names}
    ran = batch(*names, *output, *words)
    assert ran.code == 2
    assert lost in ran.complaint
    assert {name: Path(name).read_bytes() for name in names} == before


@pytest.mark.parametrize(("mine", "words"), [("a.matte.exr", ACES), ("a.preview.png", ("--preview", "some"))])
def test_existing_error_looks_beside_the_result(mine: str, words: tuple[str, ...]) -> None:
    save(Path("a.png"), plate(1, 32, 32))
    Path("out").mkdir()
    Path("out", mine).write_text("mine")
    ran = batch("a.png", "-o", "out", "--existing", "error", *words)
    assert ran.code == 2
    assert mine in ran.complaint
    assert files_in(Path("out")) == [mine]


def test_sheets_of_an_earlier_run_are_no_plates() -> None:
    Path("plates").mkdir()
    save(Path("plates/a.ppm"), plate(1, 64, 40))
    for source in ("plates", "plates/*"):
        assert batch(source, "-o", "plates", "--preview", "all").code == 0
        Path("plates/a.exr").unlink()
    assert files_in(Path("plates")) == ["a.ppm", "a.preview.png"]


def test_skip_never_trusts_a_result_that_cannot_say_how_it_was_made() -> None:
    save(Path("a.ppm"), plate(1, 64, 40))
    for stops in ("0", "1", "0"):
        assert batch("a.ppm", "-o", f"want{stops}.hdr", "--stops", stops).code == 0
        assert batch("a.ppm", "-o", "a.hdr", "--existing", "skip", "--stops", stops).code == 0
        assert Path("a.hdr").read_bytes() == Path(f"want{stops}.hdr").read_bytes()
