"""Recognize animals in photos, with calibrated confidence.

The animals are chosen in `params.yaml`; by default they are giant pandas and cats, and everything
else is `other`. `load` returns a trained model, whose `predict` takes the path of a photo.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandacat.models.classifier import Classifier

__all__ = ["load"]
__version__ = "0.1.0"


def load(name: str = "fine-tuned") -> "Classifier":
    """Load a trained model.

    Args:
        name: a folder in `models/`, or the path of another one. `pretrained` needs no training.

    Raises:
        PandacatError: there is no such model, or it is damaged.

    Example:
        >>> import pandacat
        >>> pandacat.load("pretrained").predict("examples/panda/giant_panda.jpg").label
        'panda'
    """
    from pandacat.core.paths import MODELS
    from pandacat.models.loading import load_classifier

    return load_classifier(name, models=MODELS)
