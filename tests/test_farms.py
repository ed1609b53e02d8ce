"""Farm jobs as each engine takes them, and that it runs them to the end with the pixels of a batch."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import farms
import slurm
from commands import ROOT, needs_torch
from expandnet_batch.submission.job import FarmJob, FrameSet, Item
from expandnet_batch.tools import command as tools
from farms import FRAMES, PROGRAM, QUIET, needed, same_as_a_batch, submit, written

from expandnet_ofx import __version__
from expandnet_ofx.sequences import parse_frames

shot = farms.shot


# Engines


FAILURE = re.compile(r"ERROR:|Error:|Traceback|rror:|Exception")
"""What farms take for a failure when they read it in a log."""


def test_openjd_runs_a_job_to_the_end(shot: Path) -> None:
    openjd = shutil.which("openjd", path=str(Path(sys.executable).parent))
    needed(openjd is not None and PROGRAM is not None, "openjd-cli")
    needed(find_spec("openvino") is not None, "openvino")
    assert openjd is not None
    # What takes long is the start of each task: with the engine that starts sooner, and in two chunks.
    engine = ("--engine", "openvino")
    written(*engine, "--then", f"touch {shot}/then.{{frames}}", to="openjd", chunk=4)

    def run(verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [openjd, verb, "job/template.yaml", "--extensions", "TASK_CHUNKING", *words]
        return subprocess.run(command, env=QUIET, capture_output=True, text=True, check=False)

    checked = run("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    ran = run("run")
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert "openjd_progress: 100.0" in ran.stdout
    assert not FAILURE.search(ran.stdout)
    same_as_a_batch("out", *engine)
    ran_last = [parse_frames(path.name.removeprefix("then.")) for path in shot.glob("then.*")]
    assert sorted(frame for part in ran_last for frame in part) == list(FRAMES)
    # A chunk by itself, after its results were lost.
    Path("out/shot.1005.exr").unlink()
    shutil.rmtree("job")
    written(*engine, to="openjd", chunk=4)
    for step in ("Analyze", "Smooth"):
        assert run("run", "--step", step).returncode == 0
    again = run("run", "--step", "Expand", "--tasks", '[{"Frame":"1005-1007"}]')
    assert again.returncode == 0, again.stdout[-3000:]
    same_as_a_batch("out", *engine)
    Path("in/shot.1006.png").write_bytes(b"nonsense")
    failed = run("run", "--step", "Check", "--run-dependencies")
    assert failed.returncode != 0
    assert "Running step 'Check'" not in failed.stdout


def test_a_bundle_names_inputs_outputs_and_needs(shot: Path) -> None:
    written("--gpu", "--memory", "2GiB", to="openjd")
    template = json.loads(Path("job/template.yaml").read_text())
    needs = {step["name"]: step["hostRequirements"]["amounts"] for step in template["steps"]}
    assert {"name": "amount.worker.gpu", "min": 1} in needs["Expand"]
    assert {"name": "amount.worker.memory", "min": 3072} in needs["Smooth"]
    assert {"name": "amount.worker.vcpu", "min": 1} in needs["Expand"]
    assert len(needs["Smooth"]) == 1
    assets = json.loads(Path("job/asset_references.yaml").read_text())["assetReferences"]
    assert str(shot / "in" / "shot.1003.png") in assets["inputs"]["filenames"]
    assert str(shot / "out") in assets["outputs"]["directories"]
    values = json.loads(Path("job/parameter_values.yaml").read_text())["parameterValues"]
    assert {"name": "ChunkSize", "value": 3} in values


def test_tasks_ask_for_the_processors_and_the_memory_of_their_threads(shot: Path) -> None:
    asked = {}
    for threads in (0, 4, 24):
        written("--threads", threads, "--memory", "1GiB", job=f"job{threads}")
        for step in ("analyze", "smooth", "expand", "check"):
            lines = Path(f"job{threads}/{step}.sbatch").read_text().splitlines()
            asked[threads, step] = [
                line.removeprefix("#SBATCH --") for line in lines if "--mem" in line or "cpus" in line
            ]
    assert asked[0, "expand"] == asked[4, "check"] == ["mem=2048M"]
    assert asked[4, "analyze"] == ["mem=2048M", "cpus-per-task=4"]
    assert asked[24, "expand"] == ["mem=3008M", "cpus-per-task=24"]


def test_anothers_command_is_given_no_memory_of_ours(shot: Path) -> None:
    written("--then", "nuke -x comp.nk", to="slurm", job="a")
    assert "--mem" not in Path("a/then.sbatch").read_text()
    written("--then", "nuke -x comp.nk", to="openjd", job="b")
    assert "hostRequirements" not in json.loads(Path("b/template.yaml").read_text())["steps"][-1]
    written("--then", "nuke -x comp.nk", to="opencue", job="c")
    asked = re.findall(r"'name': '(\w+)'.*?(?:'memory'|$)", Path("c/c.py").read_text(), re.MULTILINE)
    assert asked == ["analyze", "smooth", "expand", "check", "then"]
    assert Path("c/c.py").read_text().count("'memory'") == 4


def test_what_workers_run_may_have_a_launcher(shot: Path) -> None:
    words = ("--executable", "rez-env 'a b' -- expandnet")
    written(*words, to="slurm", job="a")
    assert "exec rez-env 'a b' -- expandnet task " in Path("a/expand.sbatch").read_text()
    written(*words, to="openjd", job="b")
    template = json.loads(Path("b/template.yaml").read_text())
    (program,) = (each["default"] for each in template["parameterDefinitions"] if each["name"] == "Executable")
    run = template["steps"][0]["script"]["actions"]["onRun"]
    assert [program, *run["args"][:4]] == ["rez-env", "a b", "--", "expandnet", "task"]
    written(*words, to="deadline", job="c")
    plugin = Path("c/expand.plugin").read_text()
    assert "Executable=rez-env\nArguments=<QUOTE>a b<QUOTE> -- expandnet task <QUOTE>" in plugin
    written(*words, to="opencue", job="d")
    assert "['rez-env', 'a b', '--', 'expandnet', 'task'" in Path("d/d.py").read_text()
    for unclear in ("C:\\Program Files\\x.exe", "/opt/my tools/expandnet", "/opt/rez/rez-env a -- expandnet"):
        ran = submit("--executable", unclear, job="f")
        assert (ran.code, "in quotes" in ran.complaint) == (2, True)
    written("--executable", "'C:\\Program Files\\x.exe'", to="deadline", job="g")
    assert "Executable=C:\\Program Files\\x.exe\n" in Path("g/expand.plugin").read_text()
    # What lies here lies there under its whole name, spaces and all; a name alone is looked for there.
    Path("expandnet").touch()
    written(*words, to="slurm", job="h")
    assert "-- expandnet task " in Path("h/expand.sbatch").read_text()
    Path("a bin").mkdir()
    Path("a bin/x").touch()
    written("--executable", "./a bin/x", to="deadline", job="e")
    assert f"Executable={shot / 'a bin' / 'x'}\n" in Path("e/expand.plugin").read_text()


@needs_torch
def test_slurm_runs_a_job_to_the_end(shot: Path) -> None:
    needed(not slurm.missing() and PROGRAM is not None, "slurm-wlm or munge")
    written("--then", "touch after", to="slurm", job="the job", chunk=4)

    def submitted(environment: dict[str, str], folder: str) -> list[str]:
        ran = subprocess.run(
            ["sh", f"{folder}/submit.sh"], env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return [line.split(":")[1] for line in ran.stdout.splitlines()]

    with slurm.cluster(shot / "cluster") as environment:
        submitted({**environment, "OMP_NUM_THREADS": "1"}, "the job")
        slurm.wait_for_all(environment, 150)
        assert json.loads(Path("the job/report.json").read_text())["complete"] is True
        same_as_a_batch("out")
        assert Path("after").exists() or Path("the job/after").exists()
        # One chunk again, as docs/submission/slurm.md says; once a job is complete its analyses are gone.
        Path("out/shot.1006.exr").unlink()
        for words in (["--array=0-1", "analyze.sbatch"], ["--array=1", "expand.sbatch"]):
            environment |= {"OMP_NUM_THREADS": "1"}
            subprocess.run(["sbatch", *words], cwd="the job", env=environment, check=True)
            slurm.wait_for_all(environment, 60)
        same_as_a_batch("out")
        logs = "".join(path.read_text() for path in Path("the job/logs").iterdir())
        assert not FAILURE.search(logs)
        # What depends on a step that failed is cancelled, not left waiting.
        Path("in/shot.1002.png").write_bytes(b"nonsense")
        written(to="slurm", job="bad", chunk=4)
        submitted({**environment, "OMP_NUM_THREADS": "1"}, "bad")
        slurm.wait_for_all(environment, 60)
        assert not Path("bad/report.json").exists()
        assert not list(Path("bad/scratch").glob("steady*"))


def test_long_slurm_jobs_are_several_arrays(shot: Path) -> None:
    job = written()
    many = tuple(Item(frame=frame, source="/a", output="/b") for frame in range(1001, 3502))
    long = FarmJob(**{**vars(job), "sequences": (FrameSet(name="a", items=many, group=0),), "chunk": 1})
    from expandnet_batch.submission import slurm as writer

    writer.write(long, shot / "long", ["expandnet"])
    text = (shot / "long" / "submit.sh").read_text()
    arrays = re.findall(r"--array=0-(\d+) expand.sbatch ?(\d*)\)", text)
    assert arrays == [("999", ""), ("999", "1000"), ("500", "2000")]
    assert "--export" not in text, "the environment is the caller's"
    assert subprocess.run(["sh", "-n", str(shot / "long" / "submit.sh")], check=False).returncode == 0


DEADLINE_JOB = """\
Plugin=CommandLine
Name=job expand
BatchName=job
Frames=1001-1007
ChunkSize=3
OnJobComplete=Nothing
GPUsPerTask=1
OutputDirectory0={shot}/out
"""

DEADLINE_PLUGIN = """\
Executable=/opt/expandnet
Arguments=task <QUOTE>{shot}/job/job.json<QUOTE> expand --progress plain --frames <STARTFRAME>-<ENDFRAME>
Shell=default
ShellExecute=False
SingleFramesOnly=False
StartupDirectory=
"""


def test_deadline_files_are_as_its_manual_has_them(shot: Path) -> None:
    written("--gpu", "--executable", "/opt/expandnet", to="deadline")
    assert Path("job/expand.job").read_text() == DEADLINE_JOB.format(shot=shot)
    assert Path("job/expand.plugin").read_text() == DEADLINE_PLUGIN.format(shot=shot)
    assert "Frames=0\nChunkSize=1\n" in Path("job/smooth.job").read_text()
    assert "Arguments=check <QUOTE>" in Path("job/check.plugin").read_text()


def test_the_rez_package_is_of_this_version() -> None:
    text = (ROOT / "packaging" / "rez" / "package.py").read_text()
    assert f'version = "{__version__}"' in text


def test_deadline_steps_are_submitted_after_each_other(shot: Path) -> None:
    written(to="deadline")
    command = shot / "bin" / "deadlinecommand"
    command.parent.mkdir()
    command.write_text(
        '#!/bin/sh\nn=$(ls given* 2>/dev/null | wc -l)\ncat "$1" > given$n\necho "Result=Success\nJobID=id$n"\n'
    )
    command.chmod(0o755)
    environment = {**os.environ, "DEADLINE_PATH": str(command.parent)}
    ran = subprocess.run(
        [sys.executable, "job/submit.py", "Pool=comp"], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["analyze", "id0", "smooth", "id1", "expand", "id2", "check", "id3"]
    given = [Path(f"given{k}").read_text() for k in range(4)]
    assert "JobDependencies" not in given[0]
    assert all(f"JobDependencies=id{k}\n" in given[k + 1] for k in range(3))
    assert all("Pool=comp\n" in text for text in given)
    command.write_text("#!/bin/sh\necho Error: repository unreachable\nexit 1\n")
    ran = subprocess.run(
        [sys.executable, "job/submit.py"], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert ran.stderr.strip() == "deadlinecommand gave no job for analyze: Error: repository unreachable"
    command.unlink()
    ran = subprocess.run(
        [sys.executable, "job/submit.py"], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"{command}: cannot be started")
    assert len(ran.stderr.splitlines()) == 1


CUE = """
import sys
import outline, outline.cuerun
job = outline.load_outline(sys.argv[1])
launcher = outline.cuerun.OutlineLauncher(job, shot="sh010", os="Linux", facility="local")
launcher.setup()
print(job.get_path())
print(launcher.serialize())
"""


@needs_torch
def test_opencue_takes_the_outline_and_runs_a_frame(shot: Path) -> None:
    pycuerun = shutil.which("pycuerun", path=str(Path(sys.executable).parent))
    needed(pycuerun is not None and PROGRAM is not None, "opencue-pyoutline")
    written("--gpu", to="opencue")
    environment = {**QUIET, "HOME": str(shot), "SHOW": "show", "SHOT": "sh010", "USER": "artist"}

    def run(*command: Any) -> str:
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    session, xml = run(sys.executable, "-W", "ignore", "-c", CUE, "job/job.py").splitlines()[-2:]
    assert re.findall(r'<layer name="(\w+)"', xml) == ["analyze", "smooth", "expand", "check"]
    assert xml.count("<chunk>3</chunk>") == 2
    assert xml.count("<gpus>1</gpus>") == 2
    assert xml.count("<cores>1") == 2
    assert xml.count('type="LAYER_ON_LAYER"') == 3
    # The same without a GPU, which is not here: one chunk, whose last frames are beyond the shot.
    written("--name", "sh 010/comp", to="opencue", job="job2")
    session, xml = run(sys.executable, "-W", "ignore", "-c", CUE, "job2/sh_010_comp.py").splitlines()[-2:]
    assert re.findall(r'<job name="([^"]+)"', xml) == ["sh_010_comp"]
    run(pycuerun, session, "-e", "1007-analyze")
    assert sorted(p.name for p in Path("job2/scratch/analyses").glob("*.json")) == ["0.1007.json"]


def test_every_page_of_a_farm_gives_commands_that_exist() -> None:
    pages = {page.stem for page in (ROOT / "docs" / "submission").glob("*.md")}
    assert {"openjd", "slurm", "deadline", "opencue"} <= pages
    for page in (ROOT / "docs" / "submission").glob("*.md"):
        for words in re.findall(r"^expandnet (\w[\w-]*)", page.read_text(), re.MULTILINE):
            assert words in tools.commands, f"{page.name}: {words}"
