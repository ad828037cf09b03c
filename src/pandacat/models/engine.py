"""The fastest way through a frozen backbone: OpenVINO on the CPU, PyTorch on a GPU."""

import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from pandacat.config.fields import Precision
from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError
from pandacat.core.parallel import core_count
from pandacat.core.paths import user_cache

EngineName = Literal["auto", "openvino", "torch"]

GPU_CALLERS = 64
"""Threads that prepare images: enough to fill a batch while another is computed."""


@dataclass(frozen=True)
class Engine:
    """A compiled backbone."""

    run: Callable[[np.ndarray], np.ndarray]
    """From images `(N, S, S, 3) uint8` to features `(N, D) float32`; any thread may call it."""
    callers: int
    """How many threads that call it keep it busy."""


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
    if name == "torch" or (name == "auto" and (_has_gpu() or not _is_native(precision))):
        return _torch_engine(build_backbone(), input_px, precision)
    if not _is_native(precision):
        raise PandacatError(
            f"OpenVINO does not calculate in {precision} on this CPU: use the engine torch, or the "
            "precision float32 (predict_pretrained in params.yaml)."
        )
    cached = _place(key)
    if cached and cached.exists() and cached.with_suffix(".bin").exists():
        with suppress(RuntimeError):  # a damaged file is written again
            return _openvino_engine(cached, precision)
    print_status("Converting the backbone for OpenVINO; this takes about 10 s, once per backbone.")
    model = _convert(build_backbone(), input_px)
    try:
        if not cached:
            raise OSError("this user has no folder for caches")
        _save(model, cached)
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().rpartition("\n")[2]
        print_status(
            f"It can't be cached, so the next start converts it again ({reason}): "
            "set XDG_CACHE_HOME to a folder that this user may write to."
        )
        return _openvino_engine(model, precision)
    return _openvino_engine(cached, precision)


def _place(key: str) -> Path | None:
    """Return where the conversion of a backbone lies or will lie, if the user has a cache."""
    cache = user_cache()
    return cache and cache / f"openvino-{_openvino().__version__[:9]}" / f"{key}.xml"


def _has_gpu() -> bool:
    """Return whether PyTorch can use a GPU, without importing it where there is none."""
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return False
    import torch

    return torch.cuda.is_available()


def _is_native(precision: Precision) -> bool:
    """Return whether OpenVINO calculates in this precision here; float32 it does everywhere."""
    if precision == "float32":
        return True
    capabilities = _openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return {"bfloat16": "BF16", "float16": "FP16"}[precision] in capabilities


def _torch_engine(backbone: Any, input_px: int, precision: Precision) -> Engine:
    from pandacat.models.torch_engine import batched_backbone

    if _has_gpu():
        return Engine(batched_backbone(backbone, input_px, precision, "cuda"), GPU_CALLERS)
    return Engine(batched_backbone(backbone, input_px, precision, "cpu"), core_count())


def _openvino_engine(model: Any, precision: Precision) -> Engine:
    """Run one image at a time: the activations of several would not fit in the CPU's cache."""
    hint = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}[precision]
    settings = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": hint}
    compiled = _openvino_core().compile_model(model, "CPU", settings)
    of_thread = threading.local()

    def run(images: np.ndarray) -> np.ndarray:
        if not hasattr(of_thread, "request"):
            of_thread.request = compiled.create_infer_request()
        infer = of_thread.request.infer
        return np.concatenate([infer({0: images[[row]]})[0] for row in range(len(images))])

    return Engine(run, core_count())


def _openvino() -> ModuleType:
    """Return OpenVINO without its telemetry, which reports each import over the network."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@cache
def _openvino_core() -> Any:
    """Return the one `Core` of this process, which is never released.

    The CPU plugin of each `Core` gives the thread that first compiles with it a signal stack, and
    unmaps that stack when it is released. After two whose lives overlap, the next Ctrl-C would be
    handled on an unmapped stack: a segmentation fault.
    """
    return _openvino().Core()


def _convert(backbone: Any, input_px: int) -> Any:
    import torch

    shape = (input_px, input_px, 3)
    example = torch.zeros((1, *shape), dtype=torch.uint8)
    convert = _openvino().convert_model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # OpenVINO traces networks in a way PyTorch deprecates
        return convert(backbone.eval(), example_input=example, input=[(-1, *shape)])


def _save(model: Any, path: Path) -> None:
    """Write the weights beside `path`, then `path`, each atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.stem}.{threading.get_native_id()}.part.xml")
    _openvino().save_model(model, aside, compress_to_fp16=False)
    aside.with_suffix(".bin").replace(path.with_suffix(".bin"))
    aside.replace(path)
