"""Errors that a user can act on.

ExpandNetError                base: one line that says what, what is wrong, what to do
+-- UsageError                settings that contradict each other, an unknown name, nothing matched  (exit code 2)
|   +-- MissingExtraError     an optional package that was asked for is not installed
|   +-- DeviceError           the device that was asked for is not there
+-- WeightsError              weights that are corrupt, of another network or hostile                (exit code 2)
+-- InputError                one plate cannot be read or must not be expanded                       (that frame fails)
|   +-- AlreadyHDRError       the plate is not display-referred: log, PQ, HLG, gain map, light above white
+-- OutputError               one output cannot be written                                           (that frame fails)
+-- OutOfMemoryError          one tile does not fit on the device; the expander splits it
"""

from __future__ import annotations


class ExpandNetError(Exception):
    """Base of every error this package raises on purpose."""


class UsageError(ExpandNetError):
    """Settings contradict each other, a name is unknown, or nothing matched."""


class MissingExtraError(UsageError):
    """An optional package that was asked for is not installed."""


class DeviceError(UsageError):
    """The device that was asked for is not there."""


class WeightsError(ExpandNetError):
    """Weights are corrupt, belong to another network, or hold more than tensors."""


class InputError(ExpandNetError):
    """A plate cannot be read, or not without being told more."""


class AlreadyHDRError(InputError):
    """A plate is not display-referred, so expanding it would be wrong; `force` overrides."""


class OutputError(ExpandNetError):
    """An output cannot be written."""


class OutOfMemoryError(ExpandNetError):
    """A tile does not fit into the device's memory."""
