"""Settings of a batch, by flags and config files, and what is refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import batch, files_in, invoke
from expandnet_batch.tools import command as tools
from fakes import PointEngine

pytestmark = pytest.mark.usefixtures("light_network")


def test_a_choice_that_the_processor_is_slow_at_is_told_of_once(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PointEngine, "advice", "--precision mixed: slow here")
    ran = batch("in/shot.####.png", "-o", "out")
    assert ran.code == 0, ran.err
    assert (ran.out + ran.err).count("warning  --precision mixed: slow here\n") == 1


@pytest.mark.parametrize("words", ["--output-space acescg", "--stops 1", "--max-stops 2", "--saturation 0"])
def test_the_authors_preset_refuses_what_it_would_ignore(shot: Path, words: str) -> None:
    ran = batch("in", "-o", "out", "--preset", "authors", *words.split())
    assert ran.code == 2
    assert words.split()[0] in ran.complaint


def test_a_saved_config_holds_nothing_of_one_shot(shot: Path) -> None:
    words = ("in/shot.####.png", "--frames", "1001", "-o", "out", "--json", "r.json", "-v", "--stops", "1")
    assert batch(*words, "--save-config", "studio.toml").code == 0
    saved = Path("studio.toml").read_text()
    assert "stops = 1.0\n" in saved
    assert not any(word in saved for word in ("frames", "json", "verbose"))


def test_config_gives_defaults_and_flags_win(shot: Path) -> None:
    Path("studio.toml").write_text('stops = 1.0\ncompression = "piz"\nmatte = true\nquiet = true\n')
    words = ["in/shot.1001.png", "-o", "out"]
    made = {}
    for name, more in {
        "config": ["--config", "studio.toml"],
        "flags": ["--stops", "1", "--compression", "piz", "--matte"],
        "flag wins": ["--config", "studio.toml", "--stops", "0"],
        "zero": ["--compression", "piz", "--matte"],
    }.items():
        ran = batch(*words, *more)
        assert ran.code == 0, ran.err
        made[name] = Path("out/shot.1001.exr").read_bytes()
    assert made["config"] == made["flags"]
    assert made["flag wins"] == made["zero"] != made["config"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("stops = 1\nstpos = 2\n", "stpos"),
        ("inputs = 'x'\n", "inputs"),
        ("stops = \n", "TOML"),
        ("stops = 'many'\n", "many"),
        ("stops = [1]\n", "stops"),
        ("pixel = 'flaot'\n", "'half' or 'float'"),
        ("merge = 'sideways'\n", "sideways"),
        ("threshold = 0.999\n", "threshold"),
        ("\xff", "TOML"),
    ],
)
def test_bad_config(shot: Path, text: str, word: str) -> None:
    Path("bad.toml").write_bytes(text.encode("latin-1"))
    ran = batch("in", "-o", "out", "--config", "bad.toml")
    assert ran.code == 2
    assert word in ran.err
    assert "Traceback" not in ran.err
    assert not Path("out").exists()
    assert batch("in", "-o", "out", "--config", "absent.toml").code == 2


def test_saved_config_makes_the_same_file(shot: Path) -> None:
    flags = "--stops 1.5 --white 0.95 --matte --float --compression zips --max-stops 6 --merge-channels together --memory 2GiB"
    assert batch("in/shot.1001.png", "-o", "out", *flags.split(), "--save-config", "studio.toml").code == 0
    first = Path("out/shot.1001.exr").read_bytes()
    Path("out/shot.1001.exr").unlink()
    again = batch("in/shot.1001.png", "-o", "out", "--config", "studio.toml", "--save-config", "second.toml")
    assert again.code == 0, again.err
    assert Path("out/shot.1001.exr").read_bytes() == first
    assert sorted(Path("second.toml").read_text().split("\n")) == sorted(Path("studio.toml").read_text().split("\n"))


def config_file(name: str, text: str) -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def expanded(*words: object) -> bytes:
    ran = batch("in/shot.1001.png", "-o", "out", *words)
    assert ran.code == 0, ran.err
    return Path("out/shot.1001.exr").read_bytes()


def test_of_two_configs_the_later_wins_and_flags_win_over_both(shot: Path) -> None:
    studio, show = config_file("studio.toml", "stops = 1\nwhite = 0.95\n"), config_file("show.toml", "stops = 2\n")
    both = expanded("--config", studio, "--config", show)
    assert both == expanded("--stops", 2, "--white", 0.95)
    assert both != expanded("--config", show, "--config", studio) == expanded("--stops", 1, "--white", 0.95)
    assert expanded("--config", studio, "--config", show, "--stops", 3) == expanded("--stops", 3, "--white", 0.95)


def test_a_fault_of_any_config_is_told_with_its_name(shot: Path) -> None:
    good, bad = config_file("good.toml", "stops = 1\n"), config_file("bad.toml", "stpos = 1\n")
    for words in (("--config", good, "--config", bad), ("--config", bad, "--config", good)):
        ran = batch("in", "-o", "out", *words)
        assert ran.code == 2
        assert "bad.toml" in ran.err
        assert not Path("out").exists()


@pytest.mark.parametrize("option", ["--save-config", "--json"])
def test_a_config_that_is_read_is_not_replaced(shot: Path, option: str) -> None:
    configs = [config_file("studio.toml", "stops = 1\n"), config_file("show.toml", "white = 0.95\n")]
    before = [config.read_bytes() for config in configs]
    for config in configs:
        ran = batch("in", "-o", "out", "--config", configs[0], "--config", configs[1], option, config)
        assert ran.code == 2
        assert str(config) in ran.err
        assert [path.read_bytes() for path in configs] == before


def test_an_analysis_does_not_replace_its_config(shot: Path) -> None:
    config = config_file("studio.json", "")
    ran = invoke(tools, "analyze", "in", "-o", config, "--config", config, "--threads", 1)
    assert ran.code == 2
    assert "input" in ran.err
    assert config.read_bytes() == b""


def test_authors_preset_needs_the_authors_weights(shot: Path) -> None:
    ran = batch("in", "-o", "out", "--preset", "authors")
    assert ran.code == 2
    assert "weights" in ran.complaint
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--threshold 0.995", "threshold"),
        ("--threshold 0", "threshold"),
        ("--full 1.1", "full"),
        ("--threshold nan", "threshold"),
        ("--white 0", "white"),
        ("--white blue", "white"),
        ("--stops 99", "stops"),
        ("--stops nan", "stops"),
        ("--max-stops -1", "max-stops"),
        ("--saturated-max-stops -1", "saturated-max-stops"),
        ("--saturation -0.1", "saturation"),
        ("--boldness 1", "boldness"),
        ("--sun-stops -1", "sun-stops"),
        ("--merge sideways", "merge"),
        ("--tile 4", "tile"),
        ("--feather -1", "feather"),
        ("--feather 1000", "feather"),
        ("--tile 32 --feather 17", "feather"),
        ("--steady 99999999999999999999999", "--steady"),
        ("--memory 10MiB", "memory"),
        ("--memory lots", "memory"),
        ("--memory infGiB", "memory"),
        ("--input-space nowhere", "nowhere"),
        ("--output-space nowhere", "nowhere"),
        ("--ocio absent.ocio --output-space acescg", "absent.ocio"),
        ("--compression lzma", "compression"),
        ("--compression zip:10", "levels 1 to 9"),
        ("--linearized nowhere --input-space srgb", "--linearized nowhere"),
        ("--weights absent.safetensors", "absent.safetensors"),
        ("--output-space aces2065-1 --float", "aces2065-1"),
        ("--output-space aces2065-1 --compression zip", "aces2065-1"),
        ("--frames x", "frames"),
        ("--unknown", "--unknown"),
        ("--threads -1", "threads"),
    ],
)
def test_bad_settings_end_before_any_work(shot: Path, words: str, named: str) -> None:
    ran = batch("in", "-o", "out", *words.split())
    assert ran.code == 2, ran
    assert named in ran.err
    assert "Traceback" not in ran.err
    assert "internal fault" not in ran.err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "line",
    [
        "latlong = 2", "weights = 5", "json = true", "stops = 2020-01-01", "stops = true", "threads = true", "steady = true",
        "sun_stops = 1\nsun-stops = 2",
    ],
)  # fmt: skip
def test_a_config_of_other_types_is_told(shot: Path, line: str) -> None:
    Path("studio.toml").write_text(line + "\n")
    ran = batch("in/shot.1001.png", "-o", "out", "--config", "studio.toml")
    assert ran.code == 2
    assert line.split()[0].replace("_", "-") in ran.err.replace("_", "-")
    assert "internal fault" not in ran.err


def test_a_device_that_is_not_there(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(shot.parent)
    for device in ("tpu", "cuda:99"):
        ran = batch("in", "-o", "out", "--device", device)
        assert ran.code == 2
        assert device in ran.complaint
    assert not Path("out").exists()


@pytest.mark.parametrize("output", ["out.png", "out/x.####.jpg", "out.mov"])
def test_outputs_that_cannot_hold_light(shot: Path, output: str) -> None:
    before = files_in(Path())
    ran = batch("in/shot.1001.png", "-o", output, "--frames", "1001")
    assert ran.code == 2
    assert Path(output).suffix in ran.complaint
    assert files_in(Path()) == before


def test_matte_in_a_format_without_channels(shot: Path) -> None:
    ran = batch("in/shot.1001.png", "-o", "out.hdr", "--matte")
    assert ran.code == 2
    assert ".exr" in ran.complaint
    assert not Path("out.hdr").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--json", "in"], "folder"),
        (["--json", "s.toml", "--save-config", "s.toml"], "--save-config"),
        (["--save-config", "out/shot.1001.exr"], "--save-config"),
        (["--input-space", "ACEScct"], "ACEScct"),
        (["--analysis", "in/shot.1001.png"], "--analysis"),
        (["--config", "c.toml"], "threads"),
    ],
)
def test_what_cannot_work_is_told_before_any_work(shot: Path, words: list[str], said: str) -> None:
    Path("c.toml").write_text("threads = 1.5\n")
    ran = batch("in/shot.####.png", "-o", "out", *words)
    assert ran.code == 2, ran.err
    assert said in ran.err
    assert files_in(Path("out")) == []
    assert not Path("s.toml").exists()
