"""float32 without rounding, on a GPU, too."""

from typing import Any

import torch


def use_exact_float32() -> None:
    """Let float32 mean float32 on a GPU: by default, convolutions there round to 10 bits (TF32)."""
    cudnn: Any = torch.backends.cudnn
    cudnn.allow_tf32 = False  # PyTorch itself refuses to look at flags that differ from this one
    cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "ieee"
