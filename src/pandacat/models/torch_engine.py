"""The frozen backbone in PyTorch, in batches of the images of many photos."""

from collections.abc import Callable, Sequence
from itertools import cycle
from threading import Lock
from typing import Any, Literal

import numpy as np
import torch

from pandacat.config.fields import Precision
from pandacat.models.batching import BATCHES_AHEAD, Batcher, Launch, Wait
from pandacat.models.exact_float32 import use_exact_float32
from pandacat.models.feature_maps import BackboneWithMap

GPU_BATCH_IMAGES, CPU_BATCH_IMAGES = 256, 32


def batched_backbone(
    backbone: Any, input_px: int, precision: Precision, device: Literal["cpu", "cuda"]
) -> Batcher:
    """Return what computes the features `(N, D) float32` of images `(N, S, S, 3) uint8`.

    On a GPU every batch has the same size, filled up where images lack, so that the features of an
    image have the same bits whatever comes beside it.
    """
    backbone = backbone.eval().to(memory_format=torch.channels_last)
    dtype = getattr(torch, precision)
    if device == "cuda":
        use_exact_float32()
        return Batcher(_gpu_launch(backbone.cuda(), input_px, dtype), GPU_BATCH_IMAGES)
    return Batcher(_cpu_launch(backbone, dtype), CPU_BATCH_IMAGES)


def backbone_with_map(
    backbone: BackboneWithMap, precision: Precision, device: Literal["cpu", "cuda"]
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return what computes the features and maps of images, one call after the other."""
    network = backbone.to(device).to(memory_format=torch.channels_last)
    lock = Lock()

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with lock, torch.inference_mode(), _autocast(device, getattr(torch, precision)):
            features, maps = network(torch.from_numpy(images).to(device))
            return features.float().cpu().numpy(), maps.float().cpu().numpy()

    return run


def _cpu_launch(backbone: Any, dtype: torch.dtype) -> Launch:
    def launch(parts: Sequence[np.ndarray]) -> Wait:
        with torch.inference_mode(), _autocast("cpu", dtype):
            features = backbone(torch.from_numpy(np.concatenate(parts))).float().numpy()
        return lambda: features

    return launch


def _gpu_launch(backbone: Any, input_px: int, dtype: torch.dtype) -> Launch:
    """Capture the pass as a graph; copy images while the batch before them is computed."""
    shape = (GPU_BATCH_IMAGES, input_px, input_px, 3)
    images = torch.zeros(shape, dtype=torch.uint8, device="cuda")
    computing, copying = torch.cuda.Stream(), torch.cuda.Stream()
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), _autocast("cuda", dtype):
        computing.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(computing):
            backbone(images)  # sets up what can't be captured
        with torch.cuda.graph(graph, stream=computing):
            features = backbone(images).float()
    slots = cycle(
        (
            torch.zeros(shape, dtype=torch.uint8, pin_memory=True),
            torch.empty_like(images),
            torch.empty(features.shape, pin_memory=True),
            torch.cuda.Event(),
        )
        for _ in range(BATCHES_AHEAD)
    )

    def launch(parts: Sequence[np.ndarray]) -> Wait:
        sent, received, results, done = next(slots)
        count = sum(map(len, parts))
        np.concatenate(parts, out=sent.numpy()[:count])
        with torch.cuda.stream(copying):
            received[:count].copy_(sent[:count], non_blocking=True)
        with torch.cuda.stream(computing):
            computing.wait_stream(copying)
            images.copy_(received)
            graph.replay()
            results.copy_(features, non_blocking=True)
            done.record()

        def wait() -> np.ndarray:
            done.synchronize()
            return results[:count].numpy().copy()

        return wait

    return launch


def _autocast(device: str, dtype: torch.dtype) -> torch.autocast:
    mixed = dtype != torch.float32
    return torch.autocast(device, dtype if mixed else None, enabled=mixed, cache_enabled=False)
