"""The plug-in as text: the gizmo through a real Tcl interpreter, its knobs against the worker, its Python against 3.7."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tkinter
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import fake_nuke
import nuke_nodes
import pytest
from commands import ROOT, invoke
from expandnet_batch.tools import command as tools
from expandnet_batch.worker.describe import describe
from expandnet_batch.worker.main import command as worker_command
from nuke_pictures import LETTERS, names_in
from nuke_tcl import read_script, user_knob_options
from served import stranger

from expandnet_ofx.transfer import ENCODINGS

PLUGIN = ROOT / "nuke_plugin"
GIZMO = (PLUGIN / "ExpandNet.gizmo").read_text(encoding="utf-8")
SOURCES = sorted(PLUGIN.glob("*.py"))
STANDARD = {
    "contextlib", "getpass", "hashlib", "json", "os", "pathlib", "re", "shlex", "shutil", "socket", "subprocess", "sys",
    "tempfile", "threading", "time", "traceback", "uuid", "webbrowser",
}  # fmt: skip


def head() -> list[tuple[str, str]]:
    """Return what stands at the head of the gizmo."""
    return next(pairs for kind, pairs in read_script(GIZMO) if kind == "Gizmo")


@pytest.fixture(scope="module")
def node() -> nuke_nodes.Node:
    host = fake_nuke.Host()
    host.add_gizmo(PLUGIN / "ExpandNet.gizmo")
    return host.create("ExpandNet")


def module(name: str, nuke: ModuleType | None = None) -> Any:
    """Import a module of the plug-in beside a stand-in for nuke."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PLUGIN))
        patch.setitem(sys.modules, "nuke", nuke or fake_nuke.Host().module())
        for other in [key for key in sys.modules if key.startswith("expandnet_") and (PLUGIN / f"{key}.py").exists()]:
            patch.delitem(sys.modules, other)
        return importlib.import_module(name)


def test_every_class_is_known_and_every_connection_is_there(node):
    kinds = [kind for kind, _ in read_script(GIZMO)]
    assert set(kinds) <= {*nuke_nodes.CLASSES, "Gizmo", "version", "add_layer", "set", "push", "end_group"}
    assert kinds.count("Output") == 1
    for member in node.members:
        wanted = {"Copy": 2, "Input": 0, "Read": 0}.get(member.kind, 1)
        assert sorted(member._inputs) == list(range(wanted))
        assert all(source is not None for source in member._inputs.values())
    assert {m.name(): m["number"].value() for m in node.members if m.kind == "Input"} == {"plate": 0, "mask": 1}


def user_knobs() -> dict[str, dict[str, str]]:
    """Return the knobs that the gizmo adds: kind, options, flags."""
    found = {}
    for name, value in head():
        if name == "addUserKnob":
            words = [str(word) for word in tkinter.Tcl().splitlist(value)]
            found[words[1]] = {"kind": words[0], "flags": value, **user_knob_options(words[2:])}
    return found


def test_every_knob_has_a_tooltip_and_a_label():
    for name, options in user_knobs().items():
        if options["kind"] in ("20",):
            assert options["l"]
            continue
        assert options.get("t", "").strip(), name
        assert options["t"].strip().endswith("."), name
        assert "l" in options, name


def test_knobs_agree_with_what_the_worker_describes(node):
    knobs = module("expandnet_knobs")
    known = {entry["name"]: entry for entry in describe()["settings"]}
    options = user_knobs()
    for name in (*knobs.SETTINGS, "max_stops"):
        entry, knob = known[name], node[name]
        if entry["type"] == "choice":
            assert knob._choices == entry["choices"]
            assert knob.value() == entry["default"]
        elif entry["type"] == "flag":
            assert knob.value() is False
        else:
            low, high = (float(word) for word in options[name]["R"].split())
            assert entry["minimum"] <= low < high <= entry["maximum"], name
            if entry["default"] is not None:
                assert knob.value() == entry["default"], name
    assert node["boldness"].value() == describe()["weights"]["boldness"]
    color = module("expandnet_color")
    assert node["encoding"]._choices == [color.AUTOMATIC, *describe()["encodings"], color.CUSTOM]
    assert node["precision"]._choices == describe()["precisions"]
    assert node["engine"]._choices == describe()["engines"]
    decided = set(knobs.SETTINGS)
    of_the_script = {
        "max_stops",
        "input_space",
        "linearized",
        "output_space",
        "ocio",
        "compression",
        "matte",
        "weights",
    }
    left_alone = {"preset", "white", "tile", "feather"}
    assert decided | of_the_script | left_alone == known.keys()


def test_what_stands_in_the_plug_in_as_well_is_the_same(node):
    """It can import nothing of ours."""
    rec709 = {name for name, encoding in ENCODINGS.items() if encoding.to_rec709 is None}
    assert set(module("expandnet_color").REC709_PRIMARIES) == rec709
    assert node["result_file"].value() == module("expandnet_nodes").NOT_COMPUTED


def test_what_expressions_mention_is_there(node):
    layers = {"rgba.red", "rgba.green", "rgba.blue", "rgba.alpha", *LETTERS}
    for kind, pairs in read_script(GIZMO):
        if kind == "add_layer":
            layers |= set(tkinter.Tcl().splitlist(pairs[0][1])[1:])
    mentioned = 0
    for member in node.members:
        for name, knob in member.knobs_by_name.items():
            text = str(knob._value)
            for reference in re.findall(r"parent\.(\w+)", text):
                assert reference in node.knobs_by_name, f"{member.name()}.{name}: {reference}"
                mentioned += 1
            if member.kind == "Expression" and re.match(r"expr\d|temp_expr\d", name) and text:
                own = {word for word in names_in(text) if not word.startswith("parent.")} - {"pow", "f", "o"}
                assert own <= layers, own - layers
            if member.kind == "Copy" and re.match(r"(from|to)\d", name) and text:
                assert text in layers, text
    assert mentioned >= 5


def test_scripts_in_the_gizmo_are_calls_of_functions_that_exist(node):
    plugins = {name: module(name) for name in ("expandnet_nuke", "expandnet_callbacks")}
    scripts = [knob.script for knob in node.knobs_by_name.values() if knob.Class() == "PyScript_Knob" and knob.script]
    scripts += [value for name, value in head() if name in ("onCreate", "knobChanged")]
    assert len(scripts) == 10
    for script in scripts:
        tree = ast.parse(script, feature_version=(3, 7))
        calls = [found for found in ast.walk(tree) if isinstance(found, ast.Call)]
        outer = calls[0]
        assert isinstance(outer.func, ast.Attribute)
        (name,) = [alias.name for found in ast.walk(tree) if isinstance(found, ast.Import) for alias in found.names]
        assert ast.unparse(outer.func.value) == name
        inspect.signature(getattr(plugins[name], outer.func.attr)).bind(*outer.args)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_modules_are_python_3_7_and_use_the_standard_library_alone(path):
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 7))
    imported = set()
    for found in ast.walk(tree):
        if isinstance(found, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in found.names}
        if isinstance(found, ast.ImportFrom):
            imported.add((found.module or "").split(".")[0])
    own = {source.stem for source in SOURCES}
    assert imported <= STANDARD | own | {"nuke"}


def interpreters() -> list[str]:
    """Return the Pythons of hosts that are at hand: 3.7 to 3.13."""
    versions = [f"3.{minor}" for minor in range(7, 14)]
    found = [shutil.which(f"python{version}") for version in versions]
    found += [str(p) for v in versions for p in Path.home().glob(f".pyenv/versions/{v}.*/bin/python")]
    # A shim of a version that is not switched on only says so.
    runs = (
        path for path in found if path and not subprocess.run([path, "-V"], capture_output=True, check=False).returncode
    )
    return sorted(runs)


@pytest.mark.parametrize("python", interpreters() or [sys.executable])
def test_the_host_side_talks_to_a_worker_from_the_pythons_of_hosts(python, tmp_path, monkeypatch):
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        monkeypatch.setenv("EXPANDNET_RUNTIME", folder)
        said = (
            "from expandnet_client import Pool; w = Pool().open(%r, 'cpu'); print(len(w.ask('describe')['settings']))"
        )
        ran = subprocess.run(
            [python, "-W", "error::DeprecationWarning", "-c", said % str(Path(sys.executable).parent)],
            cwd=PLUGIN, capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        invoke(worker_command, "--stop", "--device", "cpu")
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) == len(describe()["settings"])


def test_the_environment_of_a_child_is_not_the_hosts():
    programs = module("expandnet_programs")
    before = {"PYTHONHOME": "/nuke", "PYTHONPATH": "/nuke", "LD_LIBRARY_PATH": "/nuke", "QT_PLUGIN_PATH": "/nuke"}
    kept = {"OCIO": "/studio.ocio", "CUDA_VISIBLE_DEVICES": "1", "PATH": "/bin"}
    assert programs.clean_environment({**before, **kept}) == kept


def test_what_a_program_prints_is_read_whatever_the_code_page(monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252:backslashreplace")
    said = module("expandnet_programs").run_program([sys.executable, "-c", "print('/home/\u0141\u017c')"], "it")
    assert said == "/home/\u0141\u017c"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n", b"[]\n", b"null\n", b"\xff\n"])
def test_another_program_at_the_port_of_a_worker_is_one_clear_line(answer):
    client = module("expandnet_client")
    with stranger(answer) as port, pytest.raises(client.ExpandNetError, match="render again"):
        client.Worker({"port": port, "secret": "s"})


def test_commands_are_programs_folders_or_wrappers(tmp_path):
    programs = module("expandnet_programs")
    assert programs.command_words("", "expandnet-worker") == ["expandnet-worker"]
    (tmp_path / "expandnet-worker").touch()
    assert programs.command_words(str(tmp_path), "expandnet-worker") == [str(tmp_path / "expandnet-worker")]
    words = programs.command_words("rez-env expandnet --", "expandnet-worker")
    assert words == ["rez-env", "expandnet", "--", "expandnet-worker"]
    with pytest.raises(programs.ExpandNetError, match="holds no other"):
        programs.command_words(str(tmp_path), "other")
    # CommandLineToArgvW: a backslash is itself, double quotes hold a word together.
    words = programs.split_words(r'"C:\Program Files\rez\rez-env.exe" expandnet --', windows=True)
    assert words == [r"C:\Program Files\rez\rez-env.exe", "expandnet", "--"]
    assert programs.split_words(r"D:\bin\rez.exe it's", windows=True) == [r"D:\bin\rez.exe", "it's"]


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("1001-1004", [1001, 1002, 1003, 1004]),
        ("1001-1010x3, 1002", [1001, 1002, 1004, 1007, 1010]),
        ("5", [5]),
        ("-3--1", [-3, -2, -1]),
        ("", [1001, 1002, 1003]),
    ],
)
def test_frame_ranges(node, text, frames):
    plugin = module("expandnet_nuke", node.host.module())
    node["frames"]._value = text
    assert plugin.frames_of(node) == frames
    node["frames"]._value = ""


@pytest.mark.parametrize(
    ("menu", "name"),
    [
        ("scene_linear (ACES - ACEScg)", "ACES - ACEScg"),
        ("ACES/ACEScg", "ACEScg"),
        ("Linear Rec.709 (sRGB)", "Linear Rec.709 (sRGB)"),
        ("color_picking (sRGB - Texture)", "sRGB - Texture"),
        ("linear", "linear"),
    ],
)
def test_menu_entries_stand_for_spaces(menu, name):
    assert module("expandnet_color").plain_name(menu) == name


def test_the_config_of_a_script_is_found(tmp_path, monkeypatch):
    host = fake_nuke.Host()
    color = module("expandnet_color", host.module())
    monkeypatch.delenv("OCIO", raising=False)
    assert color.config_path() is None
    root = host.root_node
    root["colorManagement"].setValue("OCIO")
    root["customOCIOConfigPath"].setValue(str(tmp_path / "config.ocio"))
    with pytest.raises(color.ExpandNetError, match="not there"):
        color.config_path()
    (tmp_path / "config.ocio").touch()
    assert color.config_path() == str(tmp_path / "config.ocio")
    monkeypatch.setenv("OCIO", "/studio.ocio")
    assert color.config_path() == "/studio.ocio"
    monkeypatch.delenv("OCIO")
    root["OCIO_config"].setValue("aces_1.2")
    with pytest.raises(color.ExpandNetError, match="does not say"):
        color.config_path()
    root["OCIOConfigPath"].setValue("/nuke/aces_1.2/config.ocio")
    assert color.config_path() == "/nuke/aces_1.2/config.ocio"


def test_encodings_of_reads_are_told_and_logs_refused():
    host = fake_nuke.Host()
    color = module("expandnet_color", host.module())
    for name, ours in {"sRGB": "srgb", "default (sRGB)": "srgb", "rec709": "rec709-scene", "linear": "linear"}.items():
        assert color.read_encoding(name) == ours
    for log in ("AlexaV3LogC", "Cineon", "PLogLin", "Gamma1.8"):
        with pytest.raises(color.ExpandNetError, match="not display-referred"):
            color.read_encoding(log)
    host.root_node["colorManagement"].setValue("OCIO")
    assert color.read_encoding("sRGB - Texture") == "sRGB - Texture"


def test_init_and_menu_do_what_a_host_expects(monkeypatch):
    seen: list[Any] = []

    class Menu:
        def addCommand(self, *words: Any, **options: Any) -> None:
            seen.append((words, options))

    nuke = fake_nuke.Host().module()
    nuke.pluginAddPath = seen.append  # type: ignore[attr-defined]
    nuke.menu = lambda name: Menu()  # type: ignore[attr-defined]
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.setitem(sys.modules, "nuke", nuke)
    for name in ("expandnet_nuke", "expandnet_callbacks"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in ("init.py", "menu.py"):
        exec(compile((PLUGIN / name).read_text(encoding="utf-8"), name, "exec"), {})
    assert all((PLUGIN / path).is_dir() for path in seen if isinstance(path, str))
    (words, options) = next(entry for entry in seen if isinstance(entry, tuple))
    assert words[0].endswith("ExpandNet")
    assert "createNode('ExpandNet')" in words[1]
    assert any((PLUGIN / path / options["icon"]).is_file() for path in seen if isinstance(path, str))


def test_the_folder_for_nuke_is_found_in_a_clone():
    ran = invoke(tools, "nuke-path")
    assert Path(ran.out.strip()) == PLUGIN


def stub(name: str) -> ast.AST | None:
    """Return the definition of a function or method in types-nuke, by `Class.name` or `name`."""
    spec = find_spec("nuke-stubs")
    assert spec is not None
    assert spec.submodule_search_locations
    owner, _, name = name.rpartition(".")
    for path in sorted(Path(spec.submodule_search_locations[0]).glob("*.pyi")):
        tree: Any = ast.parse(path.read_text(encoding="utf-8"))
        holders = [c for c in ast.walk(tree) if isinstance(c, ast.ClassDef) and c.name == owner] if owner else [tree]
        for holder in holders:
            for found in holder.body:
                if isinstance(found, ast.FunctionDef) and found.name == name:
                    return found
    return None


FAKED = {
    "execute": fake_nuke.Host.execute, "toNode": fake_nuke.Host.toNode, "frame": fake_nuke.Host.frame,
    "views": fake_nuke.Host.views, "root": fake_nuke.Host.root, "thisNode": fake_nuke.Host.thisNode,
    "thisKnob": fake_nuke.Host.thisKnob, "createNode": fake_nuke.Host.createNode,
    "scriptOpen": fake_nuke.Host.scriptOpen, "allNodes": fake_nuke.Host.allNodes,
    "executeInMainThreadWithResult": fake_nuke.Host.executeInMainThreadWithResult,
    "addOnScriptLoad": fake_nuke.Host.addOnScriptLoad, "addOnScriptSave": fake_nuke.Host.addOnScriptSave,
    "addKnobChanged": fake_nuke.Host.addKnobChanged, "menu": fake_nuke.Host.menu,
    "Node.knob": nuke_nodes.Node.knob, "Node.input": nuke_nodes.Node.input, "Node.inputs": nuke_nodes.Node.inputs,
    "Node.setInput": nuke_nodes.Node.setInput, "Node.fullName": nuke_nodes.Node.fullName, "Node.name": nuke_nodes.Node.name,
    "Node.Class": nuke_nodes.Node.Class, "Group.node": nuke_nodes.Node.node, "Node.firstFrame": nuke_nodes.Root.firstFrame,
    "Node.lastFrame": nuke_nodes.Root.lastFrame, "Node.proxy": nuke_nodes.Root.proxy, "Root.setProxy": nuke_nodes.Root.setProxy,
    "Knob.value": nuke_nodes.Knob.value, "Knob.setValue": nuke_nodes.Knob.setValue, "Knob.name": nuke_nodes.Knob.name,
    "Knob.toScript": nuke_nodes.Knob.toScript, "Knob.isAnimated": nuke_nodes.Knob.isAnimated,
    "Knob.Class": nuke_nodes.Knob.Class, "Enumeration_Knob.enumName": nuke_nodes.Enumeration.enumName,
    "File_Knob.getEvaluatedValue": nuke_nodes.Knob.getEvaluatedValue,
    "EvalString_Knob.evaluate": nuke_nodes.Knob.evaluate, "Array_Knob.valueAt": nuke_nodes.Knob.valueAt,
    "Script_Knob.execute": nuke_nodes.Knob.execute, "ProgressTask.setProgress": fake_nuke.Task.setProgress,
    "ProgressTask.setMessage": fake_nuke.Task.setMessage, "ProgressTask.isCancelled": fake_nuke.Task.isCancelled,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FAKED))
def test_fake_calls_take_what_the_stubs_of_nuke_say(name):
    found = stub(name)
    assert isinstance(found, ast.FunctionDef), f"{name} is not in types-nuke"
    arguments = found.args
    mine = [p for p in inspect.signature(FAKED[name]).parameters.values() if p.name != "self"]
    if arguments.vararg is not None:
        return
    theirs = [argument.arg for argument in arguments.args if argument.arg != "self"]
    assert [p.name for p in mine] == theirs[: len(mine)], name
    needed = len(theirs) - len(arguments.defaults)
    assert sum(p.default is p.empty for p in mine) <= needed
