"""Knobs of the node in a host: what the worker hears of them, and which results they stand for."""

from __future__ import annotations

from nuke_comp import FRAMES

from expandnet_ofx.weights import DEFAULT_WEIGHTS


def test_the_worker_hears_what_the_knobs_say(comp):
    comp.build(max_stops=3.0, steady="window", steady_window=5, cuts="1002, 1003")

    def plan():
        return comp.plugin._plan(comp.node, list(FRAMES), comp.plugin.expandnet_knobs.steady_of(comp.node))

    assert plan().steady == {"window": 5, "lock_frame": None, "cuts": [1002, 1003]}
    assert plan().settings[1002]["max_stops"] is None
    comp.node["limit"].setValue(True)
    assert plan().settings[1002]["max_stops"] == 3.0
    assert plan().settings[1002]["boldness"] == comp.node["boldness"].value()
    # Weights of one's own may have no such knob.
    comp.node["weights"].setValue(str(DEFAULT_WEIGHTS))
    assert plan().settings[1002]["weights"] == str(DEFAULT_WEIGHTS)
    assert plan().settings[1002]["boldness"] is None
    comp.node["own_boldness"].setValue(True)
    assert plan().settings[1002]["boldness"] == comp.node["boldness"].value()


OTHER = {
    "threshold": 0.9, "full": 0.98, "stops": 1.0, "boldness": 0.3, "own_boldness": True, "sun_stops": 1.0, "limit": True,
    "max_stops": 7.5, "saturation": 0.5, "saturated_max_stops": 1.0, "merge": "full", "merge_channels": "together",
    "latlong": True, "force": True, "engine": "openvino", "precision": "half", "weights": "/w.safetensors",
    "premultiplied": True, "steady": "window", "steady_window": 5, "lock_frame": 1002, "cuts": "1002", "encoding": "bt1886",
}  # fmt: skip
"""Knobs that results depend on, with values that are not their defaults."""


def test_no_results_are_shown_for_those_of_other_knobs(comp):
    comp.build(encoding="srgb")
    shown = {comp.node["result_file"].value()}
    for name, value in OTHER.items():
        before = comp.node[name].value()
        assert before != value, name
        comp.node[name].setValue(value)
        shown.add(comp.node["result_file"].value())
        comp.node[name].setValue(before)
    assert len(shown) == 1 + len(OTHER)
    assert comp.node["result_file"].value() in shown


def test_a_read_of_another_encoding_has_other_results(comp):
    comp.build()
    before = comp.node["result_file"].value()
    comp.read["colorspace"].setValue("rec709")
    other = comp.node["result_file"].value()
    assert other != before
    comp.read["raw"].setValue(True)
    assert comp.node["failed"].value()
    comp.read["raw"].setValue(False)
    assert comp.node["result_file"].value() == other


def test_an_encoding_of_wider_primaries_has_a_part_in_all_channels(comp):
    comp.build(encoding="srgb")
    assert not comp.node["channels_mix"].value()
    comp.node["encoding"].setValue("display-p3")
    assert comp.node["channels_mix"].value()


def test_an_encoding_is_read_where_one_read_says_it(comp):
    comp.build()
    assert comp.plugin.expandnet_knobs.color_of(comp.node)["input_space"] == "srgb"
    comp.read["raw"].setValue(True)
    comp.node["stops"].setValue(1.0)
    assert "no Read that says" in comp.status
