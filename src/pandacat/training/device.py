"""Where to compute and in which precision, and how to make it deterministic."""

import os
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["auto", "float32", "bfloat16", "float16"]


MemoryFormat = Literal["auto", "channels_last", "contiguous"]


@dataclass(frozen=True)
class Compute:
    """Where to calculate, and how."""

    device: torch.device
    dtype: torch.dtype = torch.float32
    """Of convolutions and matrix products; weights and sums stay float32."""
    channels_last: bool = True
    """Whether the channels of a pixel lie side by side in memory, or the pixels of a channel."""
    pin_memory: bool = False
    """Whether batches wait in memory from which a GPU copies while the processor goes on."""

    def autocast(self) -> torch.autocast:
        """Return the context in which the network is to run."""
        mixed = self.dtype != torch.float32
        return torch.autocast(self.device.type, self.dtype if mixed else None, enabled=mixed)

    def scaler(self) -> torch.amp.GradScaler:
        """Return what keeps small gradients from vanishing in float16; idle in other precisions."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)

    def laid_out(self, inputs: Tensor) -> Tensor:
        """Return pictures (N, C, H, W) in the chosen order of memory; other inputs as they are."""
        if inputs.ndim == 4 and self.channels_last:
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs.contiguous()


def pick_compute(
    precision: Precision = "auto", memory_format: MemoryFormat = "auto", *, pin_memory: bool = True
) -> Compute:
    """Return the GPU where there is one, else the CPU, with what is fast there for each `auto`.

    Precision: bfloat16 where the processor multiplies it natively (elsewhere it is slower), float16
    on a GPU that multiplies only that, else float32. Channels last, except on a GPU in float32.
    Memory is pinned only for a GPU. Networks are not compiled: on two cores that takes 56 s, about
    as long as the training itself.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = _fastest_dtype(device) if precision == "auto" else getattr(torch, precision)
    if memory_format == "auto":
        channels_last = device.type == "cpu" or dtype != torch.float32
    else:
        channels_last = memory_format == "channels_last"
    return Compute(device, dtype, channels_last, pin_memory and device.type == "cuda")


def _fastest_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cpu":
        native = torch.cpu.get_capabilities().get("avx512_bf16")
        return torch.bfloat16 if native else torch.float32
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    has_tensor_cores = torch.cuda.get_device_capability(device) >= (7, 0)
    return torch.float16 if has_tensor_cores else torch.float32


def make_deterministic() -> None:
    """Let two runs on one machine give the same bits; call it before anything is calculated."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True)
    # Filling memory that is about to be overwritten costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
