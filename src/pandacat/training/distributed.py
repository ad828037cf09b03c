"""One training in several processes, on as many GPUs or machines; `torchrun` starts them.

They calculate what one process would, sums in another order aside. Each shuffles the examples and
draws the random numbers of whole batches alike, and trains on its own rows. Its loss counts by the
share of these rows, so that the gradients of all processes add up to those of the whole batch;
batch normalization and dropout see the whole batch, too.

PyTorch's `DistributedDataParallel` would average gradients as if all processes had equally many
rows, and its `SyncBatchNorm` refuses CPUs. It would also send gradients while others are being
calculated, which gains little for networks of a few million weights.
"""

import atexit
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import dropout

from pandacat.core.errors import PandacatError
from pandacat.core.processes import is_first_process, process_count, process_rank
from pandacat.training.batches import Batch

Result = TypeVar("Result")


def join_processes() -> None:
    """Join the other processes, with a GPU of its own for each; nothing happens if there are none.

    They stay joined until this one ends: PyTorch can't have the same ones meet a second time.

    Raises:
        PandacatError: there are fewer GPUs than processes, or another process has ended.
    """
    if process_count() == 1 or dist.is_initialized():
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        _take_gpu()
    with _exchange():
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    atexit.register(dist.destroy_process_group)


@contextmanager
def _exchange() -> Iterator[None]:
    """Turn whatever is raised where no other process answers into a sentence."""
    try:
        yield
    except RuntimeError as error:
        reason = re.sub(r"\[/\S+\] *", "", str(error)).partition(". ")[0]  # without places in code
        raise PandacatError(
            f"Another process of this training ended, or can't be reached ({reason}). Correct what "
            "that process says; then the same command, on all machines, resumes after the last "
            "complete epoch."
        ) from None


def _take_gpu() -> None:
    processes, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if processes > gpus:
        raise PandacatError(
            f"{processes} processes can't share {gpus} GPU{'s' * (gpus > 1)}: start them with "
            f"--nproc-per-node {gpus}, or set CUDA_VISIBLE_DEVICES= to train on CPUs."
        )
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


def from_first(calculate: Callable[[], Result]) -> Result:
    """Return, in all processes, what the first one calculates."""
    if process_count() == 1:
        return calculate()
    results: list[Any] = [calculate() if is_first_process() else None]
    with _exchange():
        dist.broadcast_object_list(results)
    result: Result = results[0]
    return result


def require_same(key: str) -> None:
    """Check that all processes train alike, by the keys of their checkpoints.

    Raises:
        PandacatError: one of them differs.
    """
    if from_first(lambda: key) != key:
        raise PandacatError(
            "The parameters, data, code, packages, processor or number of threads differ from "
            "those of the first process: all machines need the same commit, the same data "
            "(`dvc pull`), the same OMP_NUM_THREADS, and processors or GPUs of one kind."
        )


def own_part(batch: Batch) -> tuple[Batch, float]:
    """Return the rows of a batch that this process trains on, and their share of the batch.

    Raises:
        PandacatError: there are too few rows for so many processes.
    """
    if process_count() == 1:
        return batch, 1.0
    rows, draws = batch
    own = own_rows(len(rows))
    return (rows[own], draws[own]), len(own) / len(rows)


def own_rows(count: int) -> Tensor:
    """Return which of `count` rows are those of this process, in order.

    Mixup blends the first row of a batch and the last one into each other, the second and the last
    but one, and so on. Such pairs stay together, so that those of a part are those of the whole.
    """
    pairs = torch.arange((count + 1) // 2)
    if len(pairs) < process_count():
        raise PandacatError(
            f"A batch of {count} is too small for {process_count()} processes: set batch_size to "
            f"at least {4 * process_count()} in params.yaml, or start fewer processes."
        )
    own = pairs.tensor_split(process_count())[process_rank()]
    return torch.cat([own, count - 1 - own]).unique()


def summed(tensor: Tensor) -> Tensor:
    """Return the sum of the tensors of all processes."""
    if process_count() == 1:
        return tensor
    total = tensor.clone(memory_format=torch.contiguous_format)
    with _exchange():
        dist.all_reduce(total)
    return total


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Add up the gradients of all processes."""
    if process_count() == 1:
        return
    gradients = [weights.grad for weights in parameters if weights.grad is not None]
    total = summed(torch.cat([gradient.flatten() for gradient in gradients]))
    parts = total.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))


class _Sum(torch.autograd.Function):
    """`summed`; a process contributes to the losses of all, so their gradients add up, too."""

    @staticmethod
    def forward(_context: Any, tensor: Tensor) -> Tensor:
        return summed(tensor)

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        return summed(gradient)


def synchronize(network: nn.Module) -> None:
    """Let PyTorch's 2d batch normalization and dropout see the batches of all processes as one.

    Those of timm are subclasses, and stay: a pretrained network is trained in evaluation mode.
    """
    if process_count() == 1:
        return
    for module in network.modules():  # which keep their weights: the optimizer knows them
        if type(module) is nn.BatchNorm2d:
            module.__class__ = GlobalBatchNorm2d
        elif type(module) is nn.Dropout:
            module.__class__ = GlobalDropout


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization by mean and variance over the rows of all processes."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, maps: Tensor) -> Tensor:
        """Return `maps` `(N, C, H, W)` normalized."""
        if not self.training:
            return super().forward(maps)
        own_variance, own_mean = torch.var_mean(maps.float(), dim=(0, 2, 3), correction=0)
        own = torch.stack([torch.full_like(own_mean, maps[:, 0].numel()), own_mean, own_variance])
        counts, means, variances = _gathered(own).unbind(1)

        shares = counts / counts.sum(dim=0)
        mean = (shares * means).sum(dim=0)
        variance = (shares * (variances + (means - mean).square())).sum(dim=0)
        with torch.no_grad():
            count = counts.sum(dim=0)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1

        scale = self.weight * (variance + self.eps).rsqrt()
        offset = self.bias - mean * scale
        normalized = maps.float() * scale[:, None, None] + offset[:, None, None]
        return normalized.to(maps.dtype)


def _gathered(own: Tensor) -> Tensor:
    """Return the tensors of all processes, stacked; differentiable."""
    slots = [torch.zeros_like(own)] * process_count()
    slots[process_rank()] = own
    total: Tensor = _Sum.apply(torch.stack(slots))
    return total


class GlobalDropout(nn.Dropout):
    """Dropout that is drawn for the rows of all processes, by each of them alike."""

    def forward(self, features: Tensor) -> Tensor:
        """Return `features` `(N, …)`, some of them 0."""
        if not self.training:
            return features
        count = int(summed(torch.tensor(len(features))))
        kept = dropout(features.new_ones(count, *features.shape[1:]), self.p)
        return features * kept[own_rows(count)]
