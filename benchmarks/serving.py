"""`pandacat serve` with four clients, against the classifier called without it.

Both get the same photos and take turns: the bytes of the examples, again and again. The service is
a process of its own; its clients are threads, each with one connection, and send one photo at a
time. A lone photo of twelve crops is timed in the service, which spreads the crops over the cores,
and in one thread of the classifier.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from itertools import cycle, islice
from pathlib import Path

import measuring
import numpy as np

from pandacat.config.fields import CropScheme
from pandacat.config.loading import default_config
from pandacat.core.errors import PandacatError
from pandacat.models.classifier import Classifier
from pandacat.models.loading import imagenet_model
from pandacat.models.saved import load_model, save_model

CLIENTS = 4
CROPS: dict[str, CropScheme] = {"one crop": "center", "twelve crops": "two_scales"}
EXAMPLES = Path("examples")


@contextmanager
def service(model: Path) -> Iterator[int]:
    """Run the service of a model; yield its port."""
    command = [sys.executable, "-m", "pandacat", "serve", "--port", "0", "--model", str(model)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            lines = iter(process.stdout.readline, "") if process.stdout else iter(())
            found = (re.match(r"Open http://127.0.0.1:(\d+)/", line) for line in lines)
            port = next((int(match[1]) for match in found if match), 0)
            if not port:
                raise PandacatError(f"`{' '.join(command[1:])}` does not start: see why there.")
            yield port
        finally:
            process.terminate()


def asked(port: int, photos: list[bytes]) -> list[float]:
    """Send photos over one connection, one after the other; return the seconds of each."""
    connection = HTTPConnection("127.0.0.1", port)
    seconds = []
    for photo in photos:
        start = time.perf_counter()
        connection.request("POST", "/v1/predict", photo, {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        answer.read()
        seconds.append(time.perf_counter() - start)
        if answer.status != 200:
            raise PandacatError(f"The service answered {answer.status}: `pandacat serve` says why.")
    connection.close()
    return seconds


def four_clients(port: int, photos: list[bytes]) -> list[float]:
    """Share photos among clients; return the seconds of each."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        shares = (photos[client::CLIENTS] for client in range(CLIENTS))
        jobs = [pool.submit(asked, port, share) for share in shares]
        return [seconds for job in jobs for seconds in job.result()]


def one_thread(classifier: Classifier, photos: list[bytes]) -> None:
    """Predict photos one by one."""
    for photo in photos:
        classifier.predict_photo("", partial(bytes, photo))


def together(
    classifier: Classifier, port: int, photos: list[bytes], repeats: int
) -> tuple[dict[str, list[float]], list[float]]:
    """Return the seconds of four clients and of the classifier, and those of each request."""
    latencies: list[float] = []
    items = [("", partial(bytes, photo)) for photo in photos]
    ways = {
        "pandacat serve": lambda: latencies.extend(four_clients(port, photos)),
        "classifier": lambda: [*classifier.predict_many(items)],
    }
    return measuring.in_turn(ways, repeats), latencies


def alone(
    classifier: Classifier, port: int, photos: list[bytes], repeats: int
) -> dict[str, list[float]]:
    """Return the seconds of photos one by one, through the service and in one thread."""
    ways = {
        "pandacat serve": lambda: asked(port, photos),
        "one core": lambda: one_thread(classifier, photos),
    }
    return measuring.in_turn(ways, repeats)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crops", type=int, default=1200, help="that each way takes each time")
    parser.add_argument("--lone", type=int, default=20, help="photos one by one")
    parser.add_argument("--repeats", type=measuring.repeats, default=5)
    options = parser.parse_args()
    measuring.project()
    examples = [path.read_bytes() for path in sorted(EXAMPLES.rglob("*.jpg"))]
    result = measuring.Comparison("Service, four clients", "photos/s", {}, {}, {})
    for crops, scheme in CROPS.items():
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder, "model")
            save_model(model, imagenet_model(default_config()).described(crops=scheme))
            classifier = Classifier(load_model(model)).compiled()
            count = max(CLIENTS, options.crops // classifier.crop_count)
            photos = [*islice(cycle(examples), count)]
            with service(model) as port:
                asked(port, examples)
                seconds, latencies = together(classifier, port, photos, options.repeats)
                lone = alone(classifier, port, photos[: options.lone], options.repeats)
        rates = measuring.rates(seconds, count)
        result.values.update({f"{way}, {crops}": of for way, of in rates.items()})
        result.ratios[f"of the classifier's rate, {crops}"] = measuring.ratio(rates, *rates)
        median, late = (1000 * float(np.percentile(latencies, share)) for share in (50, 95))
        result.ratios[f"p95 / p50, {crops}"] = late / median
        result.notes.update({f"p50, {crops}, ms": median, f"p95, {crops}, ms": late})
        name = f"of its time on one core, a lone photo of {crops}"
        result.ratios[name] = measuring.ratio(lone, *lone)
    measuring.report("serving", result)


if __name__ == "__main__":
    measuring.run(main)
