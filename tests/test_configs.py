"""Several configs for one command, and that none of them is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import batch, invoke
from expandnet_batch.tools import command as tools

pytestmark = pytest.mark.usefixtures("light_network")


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def made(shot: Path, *words: object) -> bytes:
    ran = batch("in/shot.1001.png", "-o", "out", *words)
    assert ran.code == 0, ran.err
    return Path("out/shot.1001.exr").read_bytes()


def test_of_two_configs_the_later_wins_and_flags_win_over_both(shot: Path) -> None:
    studio, show = write("studio.toml", "stops = 1\nwhite = 0.95\n"), write("show.toml", "stops = 2\n")
    both = made(shot, "--config", studio, "--config", show)
    assert both == made(shot, "--stops", 2, "--white", 0.95)
    assert both != made(shot, "--config", show, "--config", studio) == made(shot, "--stops", 1, "--white", 0.95)
    assert made(shot, "--config", studio, "--config", show, "--stops", 3) == made(shot, "--stops", 3, "--white", 0.95)


def test_a_fault_of_any_config_is_told_with_its_name(shot: Path) -> None:
    good, bad = write("good.toml", "stops = 1\n"), write("bad.toml", "stpos = 1\n")
    for words in (("--config", good, "--config", bad), ("--config", bad, "--config", good)):
        ran = batch("in", "-o", "out", *words)
        assert ran.code == 2
        assert "bad.toml" in ran.err
        assert not Path("out").exists()


@pytest.mark.parametrize("option", ["--save-config", "--json"])
def test_a_config_that_is_read_is_not_replaced(shot: Path, option: str) -> None:
    configs = [write("studio.toml", "stops = 1\n"), write("show.toml", "white = 0.95\n")]
    before = [config.read_bytes() for config in configs]
    for config in configs:
        ran = batch("in", "-o", "out", "--config", configs[0], "--config", configs[1], option, config)
        assert ran.code == 2
        assert str(config) in ran.err
        assert [path.read_bytes() for path in configs] == before


def test_an_analysis_does_not_replace_its_config(shot: Path) -> None:
    config = write("studio.json", "")
    ran = invoke(tools, "analyze", "in", "-o", config, "--config", config, "--threads", 1)
    assert ran.code == 2
    assert "input" in ran.err
    assert config.read_bytes() == b""
