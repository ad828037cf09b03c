"""On which device to train and in which precision, and how to make it deterministic."""

import os
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pandacat.models.exact_float32 import use_exact_float32

Precision = Literal["auto", "float32", "bfloat16", "float16"]
MemoryFormat = Literal["auto", "channels_last", "contiguous"]


@dataclass(frozen=True)
class Device:
    """Where and how to calculate."""

    name: Literal["cpu", "cuda"] = "cpu"
    dtype: torch.dtype = torch.float32
    """Of convolutions and matrix products; weights and sums stay float32."""
    channels_last: bool = True
    """Whether the channels of a pixel lie side by side in memory, or the pixels of a channel."""

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.name == "cuda"

    def laid_out(self, inputs: Tensor) -> Tensor:
        """Return pictures `(N, C, H, W)` in the chosen memory format; other inputs as they are."""
        if inputs.ndim == 4 and self.channels_last:
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs.contiguous()

    def autocast(self) -> torch.autocast:
        """Return the context in which the network is to run."""
        mixed = self.dtype != torch.float32
        return torch.autocast(
            self.name, self.dtype if mixed else None, enabled=mixed, cache_enabled=not self.is_gpu
        )

    def scaler(self) -> torch.amp.GradScaler:
        """Return what keeps small gradients from vanishing in float16; idle in other precisions."""
        return torch.amp.GradScaler(self.name, enabled=self.dtype == torch.float16)


def pick_device(precision: Precision = "auto", memory_format: MemoryFormat = "auto") -> Device:
    """Return the GPU where there is one, else the CPU, with what is fast there for each `auto`.

    Precision: bfloat16 where the processor multiplies it natively (otherwise it is slower), float16
    on a GPU that multiplies only that, else float32. Channels last, except on a GPU in float32.
    Networks are not compiled: on two cores that takes 56 s, about as long as the training itself.
    """
    on_gpu = torch.cuda.is_available()
    dtype = getattr(torch, _fastest_precision(on_gpu=on_gpu) if precision == "auto" else precision)
    channels_last = memory_format == "channels_last"
    if memory_format == "auto":
        channels_last = not on_gpu or dtype != torch.float32
    return Device("cuda" if on_gpu else "cpu", dtype, channels_last)


def _fastest_precision(*, on_gpu: bool) -> Precision:
    if not on_gpu:
        return "bfloat16" if torch.cpu.get_capabilities().get("avx512_bf16") else "float32"
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bfloat16"
    return "float16" if torch.cuda.get_device_capability() >= (7, 0) else "float32"


def make_deterministic() -> None:
    """Let two runs on one machine give the same bits; call it before anything is calculated."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True)
    # Filling memory that is about to be overwritten costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    use_exact_float32()
