"""What the service takes from its clients, and how much of it at once."""

from dataclasses import dataclass
from threading import Lock

from fastapi import HTTPException

LARGEST_BODIES = 8
"""As many bodies of the largest size may be in memory at once."""
RETRY_SECONDS = 2
"""After which a client that was refused may try again."""


@dataclass(frozen=True)
class Limits:
    """What a client may ask for."""

    max_body_mb: float = 50
    """Of a request's body, in 10⁶ bytes."""
    max_in_flight: int = 64
    """Photos that wait or are predicted at once."""
    seconds: float = 60
    """That the prediction of a photo may take."""

    @property
    def max_body_bytes(self) -> int:
        """`max_body_mb` in bytes."""
        return int(self.max_body_mb * 1e6)


class Budget:
    """How much of something is taken, of what there is; any thread may take and give back."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        self._lock = Lock()

    def take(self, amount: int) -> bool:
        """Take `amount`, and return whether there was as much."""
        with self._lock:
            if self.taken + amount > self.total:
                return False
            self.taken += amount
            return True

    def give_back(self, amount: int) -> None:
        """Undo `take`."""
        with self._lock:
            self.taken -= amount


def busy(cause: str) -> HTTPException:
    """Return the refusal of a request that may succeed later."""
    return HTTPException(
        503,
        f"{cause}: try again after {RETRY_SECONDS} s.",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )
