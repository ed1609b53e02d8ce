"""Rez package of ExpandNet: rez-build --install, from this folder."""

name = "expandnet_ofx"

version = "0.1.0"

description = "Display-referred plates to scene-linear HDR."

variants = [["platform-linux", "python-3.11"], ["platform-linux", "python-3.12"]]

tools = ["expandnet", "expandnet-batch", "expandnet-worker"]

build_command = "python -m pip install --target {install_path}/python -c {root}/../../constraints.txt {root}/../.."


def commands():
    """Put the package and its commands on the paths."""
    env.PYTHONPATH.prepend("{root}/python")  # noqa: F821 - Rez gives env
    env.PATH.prepend("{root}/python/bin")  # noqa: F821
