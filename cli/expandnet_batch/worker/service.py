"""What the worker does: the same conversions as a batch, with the network kept warm between requests."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import Any, cast

from expandnet_batch.book import FrameSequence
from expandnet_batch.failures import failure_text
from expandnet_batch.jobs import Job
from expandnet_batch.opening import open_converter
from expandnet_batch.planning import check_apart, check_folder, output_options
from expandnet_batch.progress import Progress
from expandnet_batch.resume import up_to_date
from expandnet_batch.runtime import MemoryGuard
from expandnet_batch.steadying import analyze_frames
from expandnet_batch.worker.describe import describe, parse_settings
from expandnet_batch.worker.protocol import CancelledError, ProtocolError, Request
from expandnet_batch.worker.shots import frames_of, steady_shot, steadying_of, still_of, told_of
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.convert import Converter, FrameReport
from expandnet_ofx.dependence import differing
from expandnet_ofx.engine import Engine
from expandnet_ofx.errors import InputError
from expandnet_ofx.output_options import OutputOptions, check_suffix
from expandnet_ofx.partials import scratch_folder
from expandnet_ofx.predicted import Predicted
from expandnet_ofx.provenance import prediction_settings
from expandnet_ofx.sequences import Source
from expandnet_ofx.sources import Identity
from expandnet_ofx.steady import steady

ENGINES_KEPT = 2
"""Engines that stay warm: an artist compares two precisions, not ten."""

ANALYSES_KEPT = 16
"""Plates whose analyses are remembered, about 2 MB each: regions of one plate are rendered without another pass over it."""

PREDICTION_SHARE = 0.125
"""Share of the memory limit for the prediction of the plate whose knobs are being turned: enough for a plate of 3840x2160."""

Tell = Callable[[float, str], None]
"""Takes the share of a request that is done, and what is being done."""


class Token:
    """What a running request tells its host, and hears from it."""

    def __init__(self, tell: Tell) -> None:
        self.share = 0.0
        """What of the request is done."""
        self._tell = tell
        self._cancelled = Event()

    def cancel(self) -> None:
        """Take the request back."""
        self._cancelled.set()

    def check(self) -> None:
        """Raise `CancelledError` if the request was taken back."""
        if self._cancelled.is_set():
            raise CancelledError("cancelled")

    def progress(self, share: float, text: str = "") -> None:
        """Tell the host how far the request is; raise `CancelledError` if it was taken back."""
        self.check()
        self.share = share
        self._tell(share, text)


class _Watched:
    """An engine that stops before the next tile once its request is taken back."""

    def __init__(self, engine: Engine, token: Token) -> None:
        self._engine = engine
        self._token = token

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def expand(self, tile: Any, features: Any) -> Any:
        """Run a tile, see `Engine.expand`."""
        self._token.check()
        return self._engine.expand(tile, features)


class Service:
    """Executes requests, one at a time.

    Args:
        device: device of the network.
        threads: processors to use; 0 for all.
        memory: peak memory of the process to plan for, in bytes.
    """

    def __init__(self, *, device: str, threads: int, memory: int) -> None:
        self.device = device
        self._fixed: dict[str, Any] = {"device": device, "threads": threads, "memory": memory, "mask": None}
        self._guard = MemoryGuard(memory)
        self._engines: dict[tuple[Any, ...], Engine] = {}
        self._analyses: dict[str, Analysis] = {}
        self._predicted: tuple[str, Predicted] = ("", Predicted(0))

    def execute(self, request: Request, token: Token) -> dict[str, Any]:
        """Return the result of a request.

        Raises:
            CancelledError: the host took it back; nothing is left half-written.
            ExpandNetError, click.ClickException, OSError, MemoryError: it cannot be done, see the message.
        """
        known = {"describe": self._describe, "analyze": self._analyze, "render": self._render}
        if request.name not in known:
            raise ProtocolError(f"request {request.name!r}: not known; use {', '.join(known)}")
        token.check()
        return known[request.name](request, token)

    def warm_up(self) -> None:
        """Load the network before the first request asks for it; raise what keeps it from running."""
        engine = "torch" if find_spec("torch") else "openvino"
        options = {**parse_settings({"engine": engine}), **self._fixed}
        self._converter(options, OutputOptions(), Token(lambda *_: None))

    def release(self) -> None:
        """Let go of networks, and hand their memory back."""
        self._engines.clear()
        self._analyses.clear()
        self._predicted = ("", Predicted(0))
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._guard.hand_back()

    @property
    def warm(self) -> bool:
        """True while a network is loaded."""
        return bool(self._engines)

    def _describe(self, _: Request, __: Token) -> dict[str, Any]:
        return describe()

    def _render(self, request: Request, token: Token) -> dict[str, Any]:
        started = time.perf_counter()
        source, target = request.path("source"), request.path("output")
        mask = request.path("mask") if request.values.get("mask") else None
        options = self._options(request)
        storing = output_options(options)
        check_suffix(target, storing)
        check_folder(target.parent, of=target)
        converter = self._converter(options, storing, token)
        identity, analysis = converter.identify(source, mask), None
        if steady_from := request.mapping("analysis"):
            shot = steady_shot(steady_from)
            if changed := differing(shot.settings, converter.expander.analyses_depend_on):
                raise InputError(f"{shot.path}: made with another {changed}; analyze the shot again")
            frame = shot.frame(steady_from.get("frame"), identity)
            identity, analysis = replace(identity, analysis_sha256=frame.key), frame.load()
        region = request.integers("region", 4)
        reuse = request.values.get("existing") == "skip" and region is None
        if reuse and up_to_date(converter, identity, target):
            report = FrameReport(input=str(source), output=str(target), status="skipped")
        else:
            known = _analysis_key(converter, identity)
            analysis = analysis or self._analyses.get(known)
            prepared = converter.prepare(source, mask=mask, identity=identity, analysis=analysis)
            prepared.main.predicted = self._kept_prediction(converter, identity, region)
            report = converter.render(
                prepared,
                target,
                region=None if region is None else (region[0], region[1], region[2], region[3]),
                progress=self._reporter(token, source.name),
            )
            if not steady_from:
                self._remember(known, prepared.main.analysis)
        return {**report.to_dict(), "seconds": round(time.perf_counter() - started, 4)}

    def _remember(self, key: str, analysis: Analysis | None) -> None:
        assert analysis is not None
        self._analyses.pop(key, None)
        while len(self._analyses) >= ANALYSES_KEPT:
            self._analyses.pop(next(iter(self._analyses)))
        self._analyses[key] = analysis

    def _kept_prediction(self, converter: Converter, identity: Identity, region: tuple[int, ...] | None) -> Predicted:
        """Return the last prediction if it is this one, else room for it."""
        decides = [identity.source_sha256, identity.analysis_sha256, region, prediction_settings(converter.expander)]
        key = json.dumps(decides, sort_keys=True)
        if self._predicted[0] != key:
            self._predicted = (key, Predicted(int(PREDICTION_SHARE * self._fixed["memory"])))
        return self._predicted[1]

    def _analyze(self, request: Request, token: Token) -> dict[str, Any]:
        target = request.path("output")
        check_folder(target.parent, of=target)
        how, options = steadying_of(request), self._options(request)
        frames = frames_of(request)
        check_apart(target, "output", others=[path for _, path in frames])
        converter = self._converter(options, OutputOptions(), token)
        if request.values.get("existing") == "skip":
            there = still_of(target, frames, converter, how, token.progress)
            if there is not None:
                return told_of(target, there, kept=True)
        # Its number makes a picture a frame of the shot; it need not stand in the name.
        jobs = [Job(source=Source(path=path, frame=n, root=path.parent), output=path) for n, path in frames]
        sequence, failures = FrameSequence(name=target.stem, jobs=jobs), dict[Path, BaseException]()
        told = _Told(token)
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(target.parent) as folder:
            raw = folder / "frames.json"
            shot = analyze_frames(sequence, converter, {**options, **_STILLS}, raw, told, failures=failures)
            for path, error in failures.items():
                raise InputError(failure_text(error, path)) from error
            made = steady(shot.frames, shot.settings, target, how, progress=lambda n, of: told.part(1, n, of))
        return told_of(target, made, kept=False)

    def _options(self, request: Request) -> dict[str, Any]:
        return {**parse_settings(request.mapping("settings")), **self._fixed}

    def _converter(self, options: dict[str, Any], storing: OutputOptions, token: Token) -> Converter:
        """Return a converter on a warm engine."""
        key = tuple(str(options[name]) for name in ("weights", "engine", "precision"))
        if key not in self._engines:
            while len(self._engines) >= ENGINES_KEPT:
                self._engines.pop(next(iter(self._engines)))
            self._engines[key] = open_converter(options).expander.engine
        engine = self._engines[key] = self._engines.pop(key)
        return open_converter(options, storing, engine=cast(Engine, _Watched(engine, token)))

    def _reporter(self, token: Token, name: str) -> Callable[[float], None]:
        def report(share: float) -> None:
            self._guard.check()
            token.progress(share, name)

        return report


def _analysis_key(converter: Converter, identity: Identity) -> str:
    """Return what the analysis of a source depends on: its content, settings, weights, and what computes it."""
    engine = converter.expander.engine
    computes = [engine.name, engine.precision, engine.device]
    return json.dumps([identity.source_sha256, converter.expander.analyses_depend_on, computes], sort_keys=True)


_STILLS = {"fps": None, "frames": None, "first_frame": 1}
"""Options of a batch about movies, which a host has none of."""


PASSES = ("analyzing", "smoothing")
"""What a host hears of the passes over a shot."""


class _Told(Progress):
    """Progress of a batch's passes, told to a host."""

    def __init__(self, token: Token) -> None:
        super().__init__(None)
        self._token = token

    def stage(self, what: str, done: int, total: int | None) -> None:
        """Tell how far the first pass is."""
        self.part(0, done, total or done)

    def part(self, number: int, done: int, total: int) -> None:
        """Tell how far a pass is."""
        self._token.progress((number + done / max(1, total)) / len(PASSES), PASSES[number])
