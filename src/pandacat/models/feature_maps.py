"""A backbone's last feature map: where in an image its features arose."""

import torch
from torch import Tensor, nn

from pandacat.models.pretrained import Backbone

ROUNDING = 1e-4
"""Largest difference, relative to the largest feature, of features and the mean of their map."""


class BackboneWithMap(nn.Module):
    """A backbone that returns, beside its features, the map whose mean they are."""

    def __init__(self, backbone: nn.Module, layer: nn.Module) -> None:
        """Take a backbone that nothing else uses, and its layer whose output is the map."""
        super().__init__()
        self.backbone = backbone.eval()
        self._outputs: list[Tensor] = []
        layer.register_forward_hook(lambda _layer, _inputs, output: self._outputs.append(output))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features `(N, D)` and their map `(N, D, h, w)` of images `(N, S, S, 3)`."""
        features = self.backbone(images)
        return features, self._outputs.pop()


def with_feature_map(backbone: Backbone, input_px: int) -> BackboneWithMap | Backbone:
    """Return a backbone, which nothing else uses, with the last map whose mean its features are.

    It is returned as it is where there is none: transformers on patches average tokens, and some
    networks normalize after they average.
    """
    outputs: list[tuple[nn.Module, object]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, _inputs, output: outputs.append((layer, output)))
        for layer in backbone.eval().modules()
    ]
    image = torch.rand((1, input_px, input_px, 3), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = backbone(255 * image)
    for hook in hooks:
        hook.remove()
    for layer, output in reversed(outputs):
        if isinstance(output, Tensor) and _is_map_of(output, features):
            return BackboneWithMap(backbone, layer)
    return backbone


def _is_map_of(output: Tensor, features: Tensor) -> bool:
    if output.ndim != 4 or output.shape[:2] != features.shape or output[0, 0].numel() == 1:
        return False
    difference = (output.mean(dim=(2, 3)) - features).abs().max()
    return bool(difference <= ROUNDING * features.abs().max())
