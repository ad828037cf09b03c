"""One thread computes in batches what many threads ask for, and each gets its own results."""

import gc
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pandacat.core.parallel import ordered_map
from pandacat.models.batching import Batcher, Wait


def doubling(sizes: list[int], *, seconds: float = 0.0) -> Callable[[Sequence[np.ndarray]], Wait]:
    """Return a `launch` that doubles numbers and notes the sizes of the batches it gets."""

    def launch(parts: Sequence[np.ndarray]) -> Wait:
        numbers = np.concatenate(parts)
        sizes.append(len(numbers))

        def wait() -> np.ndarray:
            time.sleep(seconds)
            return 2 * numbers

        return wait

    return launch


def numbers(start: int, count: int) -> np.ndarray:
    return np.arange(start, start + count, dtype=np.float32)[:, None]


def test_each_thread_gets_its_own_results_in_order() -> None:
    batcher = Batcher(doubling([], seconds=0.001), 8)
    results = ordered_map(lambda place: batcher(numbers(place, 1 + place % 5)), range(100))
    for place, result in enumerate(results):
        np.testing.assert_array_equal(result, 2 * numbers(place, 1 + place % 5))


def test_images_of_many_threads_share_batches_that_are_never_too_large() -> None:
    sizes: list[int] = []
    batcher = Batcher(doubling(sizes, seconds=0.01), 12)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda place: batcher(numbers(place, 3)), range(64)))
    assert sum(sizes) == 64 * 3
    assert max(sizes) <= 12
    assert len(sizes) < 64 / 2


def test_more_images_than_a_batch_holds_come_back_whole() -> None:
    sizes: list[int] = []
    np.testing.assert_array_equal(Batcher(doubling(sizes), 4)(numbers(0, 11)), 2 * numbers(0, 11))
    assert sizes == [4, 4, 3]


def test_an_error_reaches_those_whose_images_it_concerns() -> None:
    def launch(parts: Sequence[np.ndarray]) -> Wait:
        batch = np.concatenate(parts)
        if batch.shape[1] != 1:
            raise ValueError("one number each")
        return lambda: 2 * batch

    batcher = Batcher(launch, 8)
    with ThreadPoolExecutor(2) as pool:
        wrong = [pool.submit(batcher, np.zeros((2, 3), np.float32)) for _ in range(20)]
        right = [pool.submit(batcher, numbers(place, 2)) for place in range(20)]
    for place, future in enumerate(right):
        np.testing.assert_array_equal(future.result(), 2 * numbers(place, 2))
    for future in wrong:
        with pytest.raises(ValueError, match="one number each"):
            future.result()


def test_an_error_while_results_are_awaited_does_not_stop_what_follows() -> None:
    outcomes = iter([ValueError("the device is lost"), None])

    def launch(parts: Sequence[np.ndarray]) -> Wait:
        def wait() -> np.ndarray:
            if error := next(outcomes):
                raise error
            return parts[0]

        return wait

    batcher = Batcher(launch, 8)
    with pytest.raises(ValueError, match="the device is lost"):
        batcher(numbers(0, 1))
    np.testing.assert_array_equal(batcher(numbers(5, 1)), numbers(5, 1))


def test_a_single_image_does_not_wait_for_others() -> None:
    batcher = Batcher(doubling([]), 1000, wait_seconds=0.01)
    began = time.perf_counter()
    batcher(numbers(0, 1))
    assert time.perf_counter() - began < 1


def test_no_more_batches_are_launched_than_a_device_has_room_for() -> None:
    lock, ahead, most = threading.Lock(), 0, 0

    def launch(parts: Sequence[np.ndarray]) -> Wait:
        nonlocal ahead, most
        with lock:
            ahead += 1
            most = max(most, ahead)

        def wait() -> np.ndarray:
            nonlocal ahead
            time.sleep(0.002)
            with lock:
                ahead -= 1
            return parts[0]

        return wait

    batcher = Batcher(launch, 1)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda place: batcher(numbers(place, 1)), range(100)))
    assert most <= 3


def test_the_threads_end_with_the_last_reference() -> None:
    before = set(threading.enumerate())
    batcher = Batcher(doubling([]), 8)
    batcher(numbers(0, 1))
    own = set(threading.enumerate()) - before
    assert len(own) == 2
    del batcher
    gc.collect()
    for thread in own:
        thread.join(5)
        assert not thread.is_alive()
