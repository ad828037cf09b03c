"""Names for the arrays that measures take."""

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
BoolArray = npt.NDArray[np.bool_]
PixelArray = npt.NDArray[np.uint8]
"""`(H, W, 3)` RGB."""
