"""Tables of predictions, as figures read them."""

import numpy as np
import pandas as pd

from pandacat.labels import LABELS
from pandacat.predictions import arrays


def by_network(judged: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each network, in the order in which the networks come."""
    return {str(name): rows for name, rows in judged.groupby("network", sort=False)}


def verdicts(judged: pd.DataFrame) -> np.ndarray:
    """Return `(N,)` indices into `LABELS`: the column `verdict`, else the most probable label."""
    if "verdict" in judged:
        return judged.verdict.map(LABELS.index).to_numpy(np.int64)
    _, probabilities = arrays(judged)
    return np.asarray(probabilities.argmax(axis=1))


def is_right(judged: pd.DataFrame) -> np.ndarray:
    """Return `(N,)` bool: whether the verdict is the photo's own label."""
    return np.asarray(verdicts(judged) == arrays(judged)[0])
