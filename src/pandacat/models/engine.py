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

EngineName = Literal["auto", "openvino", "torch"]


class Engine(Protocol):
    """A backbone that is ready to run; may be called from several threads at once."""

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return features `(N, D) float32` of images `(N, S, S, 3) uint8`."""


def compile_backbone(
    make_backbone: Callable[[], Any], *, input_px: int, key: str, name: EngineName
) -> Engine:
    """Return an engine for the backbone that `make_backbone` builds.

    `key` identifies the backbone's weights. OpenVINO's form of the backbone is kept under it in the
    user's cache folder, so that the next start needs neither `make_backbone` nor PyTorch.
    """
    if name == "auto":
        name = "torch" if _has_gpu() else "openvino"
    if name == "torch":
        return _TorchEngine(make_backbone())
    return _openvino_engine(make_backbone, input_px, key)


def _has_gpu() -> bool:
    """Return whether PyTorch can use a GPU, without paying for its import where there is none."""
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return False
    import torch

    return torch.cuda.is_available()


class _OpenVinoEngine:
    """One image at a time: what becomes of several would not stay in the processor's cache."""

    def __init__(self, model: Any) -> None:
        settings = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
        self._compiled = _openvino_core().compile_model(model, "CPU", settings)
        self._own = threading.local()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        infer = self._own.request.infer
        return np.concatenate([infer({0: images[[place]]})[0] for place in range(len(images))])


def _quiet_openvino() -> ModuleType:
    """Return OpenVINO, which otherwise tells its makers over the network of every import and use.

    Where it does not find the package that does so, it goes without.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@cache
def _openvino_core() -> Any:
    """Return the one `Core` of this process, which is never let go.

    The CPU plugin of each gives the thread that first compiles with it a signal stack, and unmaps
    that stack when it goes. After two that overlap, the next Ctrl-C would be handled on a stack
    that is no more: a segmentation fault.
    """
    return _quiet_openvino().Core()


def _openvino_engine(make_backbone: Callable[[], Any], input_px: int, key: str) -> Engine:
    openvino = _quiet_openvino()
    folder = platformdirs.user_cache_path("pandacat") / f"openvino-{openvino.__version__[:9]}"
    model = folder / f"{key}.xml"
    if model.exists() and model.with_suffix(".bin").exists():
        with suppress(RuntimeError):  # a damaged file is made anew
            return _OpenVinoEngine(model)
    print("Converting the network for OpenVINO: some 10 s, only this once.", file=sys.stderr)
    converted = _convert(make_backbone(), input_px)
    try:
        _keep(converted, model)
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().rpartition("\n")[2]
        print(f"It can't be kept, so the next start does it again: {reason}", file=sys.stderr)
        return _OpenVinoEngine(converted)
    return _OpenVinoEngine(model)


def _convert(backbone: Any, input_px: int) -> Any:
    import torch

    openvino = _quiet_openvino()
    shape = (input_px, input_px, 3)
    example = torch.zeros((1, *shape), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # OpenVINO traces the network in a way PyTorch calls old
        return openvino.convert_model(backbone.eval(), example_input=example, input=[(-1, *shape)])


def _keep(converted: Any, model: Path) -> None:
    folder = model.parent
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f"{model.stem}.{threading.get_native_id()}.part.xml"
    _quiet_openvino().save_model(converted, aside, compress_to_fp16=False)
    aside.with_suffix(".bin").replace(model.with_suffix(".bin"))
    aside.replace(model)


class _TorchEngine:
    def __init__(self, backbone: Any) -> None:
        import torch

        self._torch = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._backbone = backbone.eval().to(self._device, memory_format=torch.channels_last)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        torch = self._torch
        with torch.inference_mode():
            features = self._backbone(torch.from_numpy(images).to(self._device))
        result: np.ndarray = features.float().cpu().numpy()
        return result
