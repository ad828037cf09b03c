"""The frozen backbone: ours against eager PyTorch, and against the processor's peak.

All get the same images, 224 px a side, already in memory. The multiplications and additions of the
network are counted by PyTorch; the peak is that of its product of two large float32 matrices.
"""

import argparse

import measuring
import numpy as np

from pandacat.core import paths
from pandacat.core.parallel import core_count, ordered_map
from pandacat.models import pretrained
from pandacat.models.loading import load_classifier

BACKBONE = "efficientnet_lite0"
MATRIX_SIDE = 4096


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch", type=int, default=32, help="images that PyTorch gets at once")
    parser.add_argument("--repeats", type=measuring.repeats, default=5)
    options = parser.parse_args()
    measuring.project()
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(core_count())
    backbone = pretrained.load(BACKBONE).backbone.eval()
    classifier = load_classifier("pretrained", models=paths.MODELS)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (options.images, 224, 224, 3), dtype=np.uint8)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        backbone(torch.from_numpy(images[:1]))
    operations = counter.get_total_flops()

    def ours() -> None:
        for _ in ordered_map(classifier.features, np.array_split(images, len(images) // 12)):
            pass

    @torch.inference_mode()
    def eager(memory_format: torch.memory_format) -> None:
        backbone.to(memory_format=memory_format)
        for batch in torch.from_numpy(images).split(options.batch):
            pixels = batch.permute(0, 3, 1, 2).contiguous(memory_format=memory_format)
            backbone.body((pixels.float() - backbone.mean) / backbone.std)

    first, second = torch.rand(2, MATRIX_SIDE, MATRIX_SIDE)
    product = f"matrix product, {MATRIX_SIDE} a side"
    seconds = measuring.in_turn(
        {
            "pandacat": ours,
            "PyTorch, eager": lambda: eager(torch.contiguous_format),
            "PyTorch, eager, channels last": lambda: eager(torch.channels_last),
            product: lambda: first @ second,
        },
        options.repeats,
    )
    peak = 2 * MATRIX_SIDE**3 / measuring.median(seconds.pop(product)) / 1e9
    values = measuring.rates(seconds, len(images))
    reached = measuring.median(values["pandacat"]) * operations / 1e9
    comparison = measuring.Comparison(
        "Frozen pass",
        "images/s",
        values,
        {
            "times PyTorch, eager": measuring.ratio(values, "pandacat", "PyTorch, eager"),
            "times PyTorch, eager, channels last": measuring.ratio(
                values, "pandacat", "PyTorch, eager, channels last"
            ),
            "share of the matrix-product peak": reached / peak,
        },
        {
            "GFLOP an image": operations / 1e9,
            "GFLOP/s reached": reached,
            "GFLOP/s of the matrix product": peak,
        },
    )
    measuring.report("frozen_pass", comparison)


if __name__ == "__main__":
    measuring.run(main)
