"""What only a GPU can show: the same features as on a CPU, in any company, and the same steps."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pandacat.models import pretrained
from pandacat.models.batching import Batcher
from pandacat.models.torch_engine import batched_backbone
from pandacat.training.graphs import captured

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (300, 224, 224, 3), np.uint8)


@pytest.fixture(scope="module")
def on_gpu() -> Batcher:
    return batched_backbone(pretrained.load(pretrained.LITE0).backbone, 224, "float32", "cuda")


def test_features_are_those_of_the_cpu(images: np.ndarray, on_gpu: Batcher) -> None:
    on_cpu = batched_backbone(pretrained.load(pretrained.LITE0).backbone, 224, "float32", "cpu")
    np.testing.assert_allclose(on_gpu(images[:32]), on_cpu(images[:32]), atol=1e-4)


def test_an_image_has_the_same_bits_in_any_company(images: np.ndarray, on_gpu: Batcher) -> None:
    together = on_gpu(images)
    parts = np.split(images, [1, 6, 18, 100])
    with ThreadPoolExecutor(len(parts)) as pool:
        apart = np.concatenate(list(pool.map(on_gpu, parts)))
    np.testing.assert_array_equal(together, apart)


def test_a_program_that_used_the_gpu_ends_well() -> None:
    code = (
        "import numpy as np\n"
        "from pandacat.models import pretrained\n"
        "from pandacat.models.torch_engine import batched_backbone\n"
        "backbone = pretrained.load(pretrained.LITE0).backbone\n"
        "run = batched_backbone(backbone, 224, 'float32', 'cuda')\n"
        "print(run(np.zeros((5, 224, 224, 3), np.uint8)).shape)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code],
        capture_output=True, text=True, check=False, timeout=120, cwd=Path(__file__).parent,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (0, "(5, 1280)\n"), ended.stderr[:3000]


def test_captured_steps_do_what_the_steps_do() -> None:
    def trained(*, as_graph: bool) -> Tensor:
        torch.manual_seed(0)
        network = torch.nn.Linear(4, 2).cuda()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, fused=True)
        examples = torch.randn(64, 4, device="cuda")

        def step(batch: tuple[Tensor, Tensor]) -> Tensor:
            loss = (network(examples[batch[0]]) * batch[1]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.detach()

        run = captured(step) if as_graph else step
        losses = torch.zeros((), device="cuda")
        for number in range(12):
            rows = torch.arange(8 + number % 2, device="cuda") + number
            losses += run((rows, torch.full((len(rows), 1), 1.5, device="cuda")))
        return torch.cat([network.weight.detach().flatten(), losses[None]])

    assert torch.equal(trained(as_graph=True), trained(as_graph=False))
