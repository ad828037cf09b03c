"""The frozen backbone in OpenVINO, on the CPU."""

import sys
import threading
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pandacat.config.fields import Precision


@dataclass(frozen=True)
class CompiledBackbone:
    """A backbone that OpenVINO has compiled; any thread may call it.

    Images are computed one at a time: the activations of several would not fit in the CPU's cache.
    """

    model: Any
    """Of OpenVINO. Its outputs are features and, if there is one, the map that they average."""
    has_map: bool
    of_thread: threading.local

    def run(self, images: np.ndarray) -> np.ndarray:
        """Return features `(N, D) float32` of images `(N, S, S, 3) uint8`."""
        return np.concatenate([self._infer(image)[0] for image in images[:, None]])

    def run_with_maps(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return features, and the maps `(N, D, h, w)` that they average."""
        results = [self._infer(image) for image in images[:, None]]
        features, maps = (np.concatenate([result[place] for result in results]) for place in (0, 1))
        return features, maps

    def _infer(self, image: np.ndarray) -> Any:
        if not hasattr(self.of_thread, "request"):
            self.of_thread.request = self.model.create_infer_request()
        return self.of_thread.request.infer({0: image})


def compile_model(model: Any, precision: Precision) -> CompiledBackbone:
    """Return a model of OpenVINO, or the path of one, compiled to calculate in a precision.

    Raises:
        RuntimeError: the file is damaged.
    """
    hint = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}[precision]
    settings = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": hint}
    compiled = openvino_core().compile_model(model, "CPU", settings)
    return CompiledBackbone(compiled, len(compiled.outputs) > 1, threading.local())


def is_native(precision: Precision) -> bool:
    """Return whether OpenVINO calculates in this precision here; float32 it does everywhere."""
    if precision == "float32":
        return True
    capabilities = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return {"bfloat16": "BF16", "float16": "FP16"}[precision] in capabilities


def openvino() -> ModuleType:
    """Return OpenVINO without its telemetry, which reports each import over the network."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@cache
def openvino_core() -> Any:
    """Return the one `Core` of this process, which is never released.

    The CPU plugin of each `Core` gives the thread that first compiles with it a signal stack, and
    unmaps that stack when it is released. After two whose lives overlap, the next Ctrl-C would be
    handled on an unmapped stack: a segmentation fault.
    """
    return openvino().Core()


def compute_in_one_thread() -> None:
    """Let models that this process compiles from now on compute in one thread each, on any core.

    It is for processes of which there is one for each core: pinned, all would run on the first.
    """
    settings = {"INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
    openvino_core().set_property("CPU", settings)


def convert_backbone(backbone: Any, input_px: int) -> Any:
    """Return the backbone for OpenVINO; its outputs are features and, if it has one, their map."""
    import torch

    from pandacat.models.feature_maps import with_feature_map

    shape = (input_px, input_px, 3)
    example = torch.zeros((1, *shape), dtype=torch.uint8)
    convert = openvino().convert_model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # OpenVINO traces networks in a way PyTorch deprecates
        mapped = with_feature_map(backbone, input_px)
        return convert(mapped, example_input=example, input=[(-1, *shape)])


def save_backbone(model: Any, path: Path) -> None:
    """Write a model of OpenVINO: its weights beside `path`, then `path`, each atomically.

    Its parts are named anew: OpenVINO numbers those of all models of a process together, so that
    the file would depend on what the process did before.
    """
    model.set_friendly_name(path.stem)
    for number, part in enumerate(model.get_ordered_ops()):
        part.set_friendly_name(f"{part.get_type_name()}_{number}")
    aside = path.with_name(f"{path.stem}.{threading.get_native_id()}.part.xml")
    openvino().save_model(model, aside, compress_to_fp16=False)
    aside.with_suffix(".bin").replace(path.with_suffix(".bin"))
    aside.replace(path)
