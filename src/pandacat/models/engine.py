"""The fastest way through a frozen backbone: OpenVINO on the CPU, PyTorch on a GPU."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pandacat.config.fields import Precision
from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError
from pandacat.core.parallel import core_count
from pandacat.core.paths import user_cache
from pandacat.models.openvino_engine import (
    compile_model,
    convert_backbone,
    is_native,
    openvino,
    save_backbone,
)

EngineName = Literal["auto", "openvino", "torch"]

GPU_CALLERS = 64
"""Threads that prepare images: enough to fill a batch while another is computed."""


class NoFeatureMapError(PandacatError):
    """The features of a backbone are not the mean of a map, so what they are of can't be shown."""

    def __init__(self) -> None:
        super().__init__(
            "This network can't be explained, as its features are not the mean of its last map: "
            "choose another as predict_pretrained.backbone, such as efficientnet_lite0."
        )


@dataclass(frozen=True)
class Engine:
    """A compiled backbone."""

    run: Callable[[np.ndarray], np.ndarray]
    """From images `(N, S, S, 3) uint8` to features `(N, D) float32`; any thread may call it."""
    callers: int
    """How many threads that call it keep it busy."""
    run_with_maps: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    """Like `run`, but with the maps `(N, D, h, w)` whose means the features are.

    Raises `NoFeatureMapError` where they are the means of none.
    """


def compile_backbone(
    build_backbone: Callable[[], Any],
    input_px: int,
    key: str,
    *,
    name: EngineName,
    precision: Precision,
) -> Engine:
    """Return an engine for the backbone that `build_backbone` returns.

    `key` identifies the backbone and its weights. Its conversion for OpenVINO is cached under it in
    the user's cache folder, so that the next start needs neither `build_backbone` nor PyTorch.
    `auto` is PyTorch on a GPU, and where OpenVINO can't calculate in this precision.

    Raises:
        PandacatError: OpenVINO is asked for by name, and can't calculate in this precision.
    """
    if name == "torch" or (name == "auto" and (_has_gpu() or not is_native(precision))):
        return _torch_engine(build_backbone, input_px, precision)
    if not is_native(precision):
        raise PandacatError(
            f"OpenVINO does not calculate in {precision} on this CPU: use the engine torch, or the "
            "precision float32 (predict_pretrained in params.yaml)."
        )
    if cached := cached_conversion(key):
        with suppress(RuntimeError):  # a damaged file is written again
            return _openvino_engine(cached, precision)
    print_status("Converting the backbone for OpenVINO; this takes about 10 s, once per backbone.")
    model, cached = convert_backbone(build_backbone(), input_px), _place(key)
    try:
        if not cached:
            raise OSError("this user has no folder for caches")
        cached.parent.mkdir(parents=True, exist_ok=True)
        save_backbone(model, cached)
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().rpartition("\n")[2]
        print_status(
            f"It can't be cached, so the next start converts it again ({reason}): "
            "set XDG_CACHE_HOME to a folder that this user may write to."
        )
        return _openvino_engine(model, precision)
    return _openvino_engine(cached, precision)


def cached_conversion(key: str) -> Path | None:
    """Return the backbone with this key as it was converted for OpenVINO, if it is cached."""
    place = _place(key)
    return place if place and place.exists() and place.with_suffix(".bin").exists() else None


def _place(key: str) -> Path | None:
    """Return where the conversion of a backbone lies or will lie, if the user has a cache."""
    cache = user_cache()
    return cache and cache / f"openvino-{openvino().__version__[:9]}" / f"{key}-map.xml"


def _has_gpu() -> bool:
    """Return whether PyTorch can use a GPU, without importing it where there is none."""
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return False
    import torch

    return torch.cuda.is_available()


def _torch_engine(build_backbone: Callable[[], Any], input_px: int, precision: Precision) -> Engine:
    from pandacat.models.feature_maps import BackboneWithMap, with_feature_map
    from pandacat.models.torch_engine import backbone_with_map, batched_backbone

    device: Literal["cuda", "cpu"] = "cuda" if _has_gpu() else "cpu"

    @cache
    def mapped() -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
        backbone = with_feature_map(build_backbone(), input_px)
        if not isinstance(backbone, BackboneWithMap):
            raise NoFeatureMapError
        return backbone_with_map(backbone, precision, device)

    return Engine(
        batched_backbone(build_backbone(), input_px, precision, device),
        GPU_CALLERS if device == "cuda" else core_count(),
        lambda images: mapped()(images),
    )


def exported_engine(path: Path, precision: Precision) -> Engine:
    """Return the engine of the backbone of an exported model, which needs no PyTorch.

    Raises:
        RuntimeError: the file is damaged.
    """
    return _openvino_engine(path, precision)


def _openvino_engine(model: Any, precision: Precision) -> Engine:
    backbone = compile_model(model, precision)

    def run_with_maps(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not backbone.has_map:
            raise NoFeatureMapError
        return backbone.run_with_maps(images)

    return Engine(backbone.run, core_count(), run_with_maps)


def spread(engine: Engine) -> Engine:
    """Return an engine that computes each image of a call in a thread of its own.

    So all cores work for a lone photo of several crops. There are as many threads as keep the
    engine busy; they end with the engine.
    """
    pool = ThreadPoolExecutor(engine.callers, thread_name_prefix="images")

    def run(images: np.ndarray) -> np.ndarray:
        return np.concatenate([*pool.map(engine.run, images[:, None])])

    def run_with_maps(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features, maps = zip(*pool.map(engine.run_with_maps, images[:, None]), strict=True)
        return np.concatenate(features), np.concatenate(maps)

    return Engine(run, engine.callers, run_with_maps)
