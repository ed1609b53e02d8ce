"""HDR-VDP 2.2: how visible the difference of two HDR pictures is, and how good one is taken for the other."""

from expandnet_comparison.hdrvdp.metric import HDRVDP, Band, Quality, Seen

__all__ = ["HDRVDP", "Band", "Quality", "Seen"]
