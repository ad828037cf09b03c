"""Steps on a GPU as graphs: hundreds of small launches become one."""

from collections.abc import Callable

import torch
from torch import Tensor

from pandacat.training.batches import Batch

Step = Callable[[Batch], Tensor]

WARM_UP_STEPS = 3
"""Run as they are, so that all that is set up once is there when a graph is captured."""


def captured(step: Step) -> Step:
    """Return a function that does what `step` does, on a GPU.

    A graph is captured for each combination of shapes that `step` gets, and replayed. So `step` may
    not wait for the GPU, must keep its state in the same tensors, and what it returns is
    overwritten by the next step.
    """
    stream = torch.cuda.Stream()
    steps = 0
    graphs: dict[tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, Batch, Tensor]] = {}

    def run(batch: Batch) -> Tensor:
        nonlocal steps
        steps += 1
        if steps <= WARM_UP_STEPS:
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                result = step(batch)
            torch.cuda.current_stream().wait_stream(stream)
            return result
        shapes = tuple(tensor.shape for tensor in batch)
        if shapes not in graphs:
            graph, held = torch.cuda.CUDAGraph(), (batch[0].clone(), batch[1].clone())
            with torch.cuda.graph(graph, stream=stream):
                result = step(held)
            graphs[shapes] = graph, held, result
        graph, held, result = graphs[shapes]
        for own, tensor in zip(held, batch, strict=True):
            own.copy_(tensor)
        graph.replay()
        return result

    return run
