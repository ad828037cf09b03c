"""The fastest way through a frozen backbone: OpenVINO on the CPU, PyTorch on a GPU."""

import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol

import numpy as np
import platformdirs

from pandacat.core.console import print_status

EngineName = Literal["auto", "openvino", "torch"]


class Engine(Protocol):
    """A backbone that is ready to run; may be called from several threads at once."""

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return features `(N, D) float32` of images `(N, S, S, 3) uint8`."""


def compile_backbone(
    build_backbone: Callable[[], Any], *, input_px: int, key: str, name: EngineName
) -> Engine:
    """Return an engine for the backbone that `build_backbone` returns.

    `key` identifies the backbone and its weights. The backbone converted for OpenVINO is cached
    under it in the user's cache folder, so that the next start needs neither `build_backbone` nor
    PyTorch.
    """
    if name == "auto":
        name = "torch" if _has_gpu() else "openvino"
    if name == "torch":
        return _TorchEngine(build_backbone())
    return _openvino_engine(build_backbone, input_px, key)


def _has_gpu() -> bool:
    """Return whether PyTorch can use a GPU, without importing it where there is none."""
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return False
    import torch

    return torch.cuda.is_available()


class _OpenVinoEngine:
    """One image at a time: the activations of several would not fit in the processor's cache."""

    def __init__(self, model: Any) -> None:
        settings = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
        self._compiled = _openvino_core().compile_model(model, "CPU", settings)
        self._of_thread = threading.local()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        if not hasattr(self._of_thread, "request"):
            self._of_thread.request = self._compiled.create_infer_request()
        infer = self._of_thread.request.infer
        return np.concatenate([infer({0: images[[row]]})[0] for row in range(len(images))])


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


def _openvino_engine(build_backbone: Callable[[], Any], input_px: int, key: str) -> Engine:
    folder = platformdirs.user_cache_path("pandacat") / f"openvino-{_openvino().__version__[:9]}"
    cached = folder / f"{key}.xml"
    if cached.exists() and cached.with_suffix(".bin").exists():
        with suppress(RuntimeError):  # a damaged file is written again
            return _OpenVinoEngine(cached)
    print_status("Converting the backbone for OpenVINO; this takes about 10 s, once per backbone.")
    model = _convert(build_backbone(), input_px)
    try:
        _save(model, cached)
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().rpartition("\n")[2]
        print_status(f"It can't be cached, so the next start converts it again: {reason}")
        return _OpenVinoEngine(model)
    return _OpenVinoEngine(cached)


def _convert(backbone: Any, input_px: int) -> Any:
    import torch

    shape = (input_px, input_px, 3)
    example = torch.zeros((1, *shape), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # OpenVINO traces networks in a way PyTorch deprecates
        return _openvino().convert_model(
            backbone.eval(), example_input=example, input=[(-1, *shape)]
        )


def _save(model: Any, path: Path) -> None:
    """Write `path` and, first, the weights beside it, each atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.stem}.{threading.get_native_id()}.part.xml")
    _openvino().save_model(model, aside, compress_to_fp16=False)
    aside.with_suffix(".bin").replace(path.with_suffix(".bin"))
    aside.replace(path)


class _TorchEngine:
    def __init__(self, backbone: Any) -> None:
        import torch

        self._torch = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._backbone = backbone.eval().to(self._device, memory_format=torch.channels_last)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        with self._torch.inference_mode():
            features = self._backbone(self._torch.from_numpy(images).to(self._device))
        return np.asarray(features.float().cpu())
