"""The product as one self-contained PyTorch module, for hosts that run models by themselves. Needs torch alone.

TorchScript of a new PyTorch does not load in an old host, so this file also runs by itself, in an environment of the host's
generation:

    pip install torch==1.13.1 'numpy<2' safetensors
    python export_model.py expandnet_log_v4.safetensors ExpandNet.pt

What is written here without annotations of today is read by the compiler of torch 1.13.
"""

import json
import math
import sys
from typing import Dict, List  # noqa: UP035

import torch
from torch import Tensor, nn
from torch.nn import functional


class ExpandNetModel(nn.Module):
    """A whole frame in, scene-linear light out: the product at one scale.

    Input is (1, 3, H, W) sRGB codes of the plate, float32 or half, 1 = display white; output is light of the same shape and
    type in linear Rec.709, 1 = the plate's white. Of any size; edges are replicated. Inside, all runs in float32.

    Against the product the maps of wide clipped areas are missing, and what it finds in a plate: clip levels (full scale is
    taken) and the anchor. Samples that are no number count as 0, as there.

    Args:
        state: parameters by the names of the network.
        boldness: the knob's default; below 0 for weights without one.
        peak, span: of the output curve, light = peak (2^(span y) - 1) / (2^span - 1).
    """

    radius: torch.jit.Final[int] = 8  # pyright: ignore[reportPrivateImportUsage]
    """Reach of the network in pixels."""
    soft: torch.jit.Final[int] = 4  # pyright: ignore[reportPrivateImportUsage]
    """Reach of the low-pass along recovered light."""
    edge: torch.jit.Final[int] = 2  # pyright: ignore[reportPrivateImportUsage]
    """Reach of the low-pass of the matte."""
    size: torch.jit.Final[int] = 256  # pyright: ignore[reportPrivateImportUsage]
    """Edge of the reduced plate."""
    floor: torch.jit.Final[float] = 2.0**-20  # pyright: ignore[reportPrivateImportUsage]
    """Smallest light whose logarithm is taken."""
    largest: torch.jit.Final[float] = 65504.0  # pyright: ignore[reportPrivateImportUsage]
    """Largest half float."""

    def __init__(self, state: Dict[str, Tensor], boldness: float, peak: float, span: float) -> None:  # noqa: UP006
        super().__init__()
        self.stops: float = 0.0
        self.threshold: float = 0.94
        self.full: float = 0.992
        self.saturated_max_stops: float = 2.0
        self.merge: int = 0
        self.pixels: int = 1 << 20
        self.boldness: float = boldness
        self.knob: int = int(boldness >= 0)
        self.peak: float = peak
        self.span: float = span
        self.local1 = _layer(state, "local_net.0.0", 1, 1)
        self.local2 = _layer(state, "local_net.1.0", 1, 1)
        self.mid1 = _layer(state, "mid_net.0.0", 1, 2)
        self.mid2 = _layer(state, "mid_net.1.0", 1, 2)
        self.mid3 = _layer(state, "mid_net.2.0", 1, 2)
        self.mid4 = _layer(state, "mid_net.3", 1, 2)
        self.glob = nn.Sequential(
            *[part for k in range(6) for part in (_layer(state, f"glob_net.{k}.0", 2, 1, padding=1), nn.SELU())],
            _layer(state, "glob_net.6", 1, 1),
        )
        self.fuse = _layer(state, "end_net.0.0", 1, 1)
        self.out = _layer(state, "end_net.1", 1, 1)
        basis = state.get("boldness.weight", torch.zeros(64, 2))
        self.basis = nn.Parameter(basis.float(), requires_grad=False)
        self.told: int = int("tail.weight" in state)
        self.counts = nn.Parameter(state.get("tail.weight", torch.zeros(64, 15)).float(), requires_grad=False)
        below = torch.tensor([0.0, 0.15, 0.4, 1.0, 2.5])
        edges = 1.055 * (self.linear(torch.tensor(0.98)) * 2.0**-below) ** (1 / 2.4) - 0.055
        self.edges = nn.Parameter(edges, requires_grad=False)
        self.widths = nn.Parameter(below[1:] - below[:-1], requires_grad=False)
        distance = torch.arange(-self.soft, self.soft + 1, dtype=torch.float64)
        bell = torch.exp(-0.5 * (distance / 1.5) ** 2)
        self.bell = nn.Parameter((bell / bell.sum()).float(), requires_grad=False)
        self.binomial = nn.Parameter(torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the light of a plate; see the class."""
        if x.shape[0] != 1:
            raise RuntimeError("one picture at a time: what is global is of one")
        codes = x.float()
        # Through the global vector a single NaN would reach every pixel.
        codes = codes.masked_fill(torch.isnan(codes), 0.0)
        margin = self.radius + self.soft
        around = functional.pad(codes, [margin, margin, margin, margin], mode="replicate")
        features = self.features(codes.clamp(0.0, 1.0))
        scene = self.scene(codes)
        if self.pixels == 0:
            return self.rendered(around, features, scene).to(x.dtype)
        height = codes.shape[2]
        rows = max(self.pixels // codes.shape[3], 2 * margin)
        bands = [self.rendered(around[:, :, : min(rows, height) + 2 * margin], features, scene).to(x.dtype)]
        for top in range(rows, height, rows):
            band = around[:, :, top : min(top + rows, height) + 2 * margin]
            bands.append(self.rendered(band, features, scene).to(x.dtype))
        return torch.cat(bands, 2)

    def rendered(self, around: Tensor, features: Tensor, scene: Tensor) -> Tensor:
        """Return light of codes that reach 12 pixels beyond it: (1, 3, H + 24, W + 24) to (1, 3, H, W)."""
        margin = self.radius + self.soft
        codes = around[:, :, margin:-margin, margin:-margin]
        log_light = torch.log2(self.light(around.clamp(0.0, 1.0), features).clamp(min=self.floor))
        if self.merge == 1:
            inner = self.soft
            light = self.exp2(log_light[:, :, inner:-inner, inner:-inner] + self.stops)
        else:
            matte = self.matte(around[:, :, self.radius : -self.radius, self.radius : -self.radius])
            light = self.merged(self.linear(codes), codes, log_light, matte, scene)
        return light.clamp(-self.largest, self.largest)

    def scene(self, codes: Tensor) -> Tensor:
        """Return 0 for a page, nearly all of it white, up to 1 for a scene; the product scales the matte by it, see `grade`."""
        # As the product counts codes of float plates, in 1024 bins.
        share = (codes >= math.ceil(self.threshold * 1023.0) / 1024.0).float().mean(dim=[2, 3]).min()
        t = ((share - 0.7) / 0.2).clamp(0.0, 1.0)
        return 1.0 - t * t * (3.0 - 2.0 * t)

    def features(self, x: Tensor) -> Tensor:
        """Return the global vector (1, 64, 1, 1) of a whole plate in [0, 1]."""
        down, across = self.reduction(x.shape[2], x), self.reduction(x.shape[3], x)
        proxy = torch.matmul(torch.matmul(down, x), across.t())
        found = self.glob(proxy)
        if self.knob == 1:
            t = 2.0 * min(max(self.boldness, 0.05), 0.95) - 1.0
            found = found + (self.basis[:, 0] * t + self.basis[:, 1] * (t * t)).view(1, -1, 1, 1)
        if self.told == 1:
            dark, bright = proxy.amin(1, keepdim=True), proxy.amax(1, keepdim=True)
            told = torch.cat((self.tail(dark), self.tail(proxy), self.tail(bright)))
            found = found + torch.mv(self.counts, told).view(1, -1, 1, 1)
        return found

    def tail(self, values: Tensor) -> Tensor:
        """Return how many values of a reduced plate lie just below white, per stop (5,); see the product's `tail`."""
        above = ((values.flatten().unsqueeze(1) - self.edges) / 0.02 + 0.5).clamp(0.0, 1.0).mean(0)
        shares = torch.cat((above[:1], (above[1:] - above[:-1]) / self.widths))
        return (torch.log2(shares + 1e-3) + 5.0) / 5.0

    def reduction(self, length: int, x: Tensor) -> Tensor:
        """Return the matrix (256, length) of the anti-aliased bilinear resize of one axis; rows sum to 1."""
        scale = float(length) / self.size
        support = max(scale, 1.0)
        centers = (torch.arange(self.size, device=x.device).double() + 0.5) * scale
        positions = torch.arange(length, device=x.device).double() + 0.5
        weights = (1.0 - (positions[None, :] - centers[:, None]).abs() / support).clamp(min=0.0)
        return (weights / weights.sum(1, keepdim=True)).float()

    def light(self, seen: Tensor, features: Tensor) -> Tensor:
        """Return predicted light without the network's reach: (1, 3, H + 16, W + 16) to (1, 3, H, W)."""
        trim = self.radius - 2
        local = functional.selu(self.local2(functional.selu(self.local1(seen[:, :, trim:-trim, trim:-trim]))))
        mid = functional.selu(self.mid3(functional.selu(self.mid2(functional.selu(self.mid1(seen))))))
        mid = self.mid4(mid)
        joined = torch.cat((local, mid), 1)
        weight = self.fuse.weight
        near = weight[:, : joined.shape[1]]
        total = functional.conv2d(joined, near, self.fuse.bias)
        total = total + functional.conv2d(features, weight[:, joined.shape[1] :])
        y = torch.sigmoid(self.out(functional.selu(total)))
        return (self.exp2(y * self.span) - 1.0) * (self.peak / (2.0**self.span - 1.0))

    def exp2(self, x: Tensor) -> Tensor:
        """Return 2^x; ONNX has no such operation."""
        return torch.exp(x * 0.6931471805599453)

    def linear(self, codes: Tensor) -> Tensor:
        """Return light of sRGB codes (IEC 61966-2-1); negatives are mirrored, values above 1 go on along the curve."""
        size = codes.abs()
        light = torch.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4)
        return torch.where(codes < 0, -light, light)

    def matte(self, codes: Tensor) -> Tensor:
        """Return how much each channel takes of the prediction, before its low-pass."""
        t = ((codes - self.threshold) / max(self.full - self.threshold, 1e-9)).clamp(0.0, 1.0)
        return t * t * (3.0 - 2.0 * t)

    def low_pass(self, x: Tensor, weights: Tensor) -> Tensor:
        """Filter each channel along both axes; smaller by the reach."""
        taps = weights.shape[0]
        down = weights.view(1, 1, taps, 1).expand(3, 1, taps, 1)
        across = weights.view(1, 1, 1, taps).expand(3, 1, 1, taps)
        return functional.conv2d(functional.conv2d(x, down, groups=3), across, groups=3)

    def merged(self, plate: Tensor, codes: Tensor, log_light: Tensor, matte: Tensor, scene: Tensor) -> Tensor:
        """Lay light over the plate, see the product's `grade.merge`; `log_light` and `matte` reach 4 pixels beyond."""
        certainty = self.low_pass(matte, self.bell)
        smooth = self.low_pass(log_light * matte, self.bell) / certainty.clamp(min=1e-12)
        beyond = self.soft - self.edge
        own = matte[:, :, self.soft : -self.soft, self.soft : -self.soft]
        wide = self.low_pass(matte[:, :, beyond:-beyond, beyond:-beyond], self.binomial)
        steady = torch.minimum(wide, (4.0 * own).clamp(max=1.0)) * scene
        floor = plate.clamp(min=2.0**-16)
        gain = (smooth + self.stops - torch.log2(floor)).clamp(min=0.0)
        darkest = codes.amin(1, keepdim=True)
        t = ((darkest - 0.25) / 0.25).clamp(0.0, 1.0)
        roof = self.saturated_max_stops + 16.0 * t * t * (3.0 - 2.0 * t)
        lifted = plate * self.exp2(steady * torch.minimum(gain, roof))
        return torch.where(steady > 0, torch.maximum(lifted, plate), plate)


def _layer(state: Dict[str, Tensor], name: str, stride: int, dilation: int, padding: int = 0) -> nn.Conv2d:  # noqa: UP006
    weight = state[name + ".weight"].float()
    outputs, inputs, rows, columns = weight.shape
    made = nn.Conv2d(inputs, outputs, (rows, columns), stride, padding, dilation)
    made.weight = nn.Parameter(weight, requires_grad=False)
    made.bias = nn.Parameter(state[name + ".bias"].float(), requires_grad=False)
    return made


def load(path: str) -> ExpandNetModel:
    """Return the model of a file of weights with their contract; raise `ValueError` if they are not of the log curve."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        contract = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if contract.get("output_curve") != "log" or not contract.get("global_reduction", "").endswith("anti-aliased"):
        raise ValueError(f"{path}: needs weights of the log curve and an anti-aliased reduction")
    boldness = float(contract.get("boldness", -1.0))
    peak, span = float(contract["output_peak"]), float(contract["output_stops"])
    return ExpandNetModel(state, boldness, peak, span).eval()


def main(words: List[str]) -> int:  # noqa: UP006
    """Write TorchScript: weights, target; say which PyTorch made it."""
    if len(words) != 2:
        print("usage: python export_model.py WEIGHTS.safetensors TARGET.pt")  # noqa: T201
        return 2
    torch.jit.script(load(words[0])).save(words[1])
    print(json.dumps({"file": words[1], "torch": torch.__version__}))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
