"""What refusals of the service advise helps, when it is obeyed to the letter."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep
from typing import Any

import pytest
import requests
from conftest import EXAMPLES
from services import JPEG, PANDA, Running, forms, held, running, wait_until

from pandacat.models.classifier import Classifier
from pandacat.models.loading import load_classifier
from pandacat.service.limits import Limits

MOST_PHOTOS = 3


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier("pretrained", models=Path("nowhere"))


@pytest.fixture(scope="module")
def service(classifier: Classifier) -> Iterator[Running]:
    with running(classifier, Limits(max_body_mb=0.07, max_in_flight=MOST_PHOTOS)) as started:
        yield started


def refusal(status: int, address: str, data: Any = None, **options: Any) -> str:
    """Return why a request is refused."""
    answer = requests.post(address, data, **options)
    assert answer.status_code == status
    return str(answer.json()["detail"])


def labels(address: str, data: Any = None, **options: Any) -> list[str]:
    """Return the labels that a request is answered with."""
    answer = requests.post(address, data, **options)
    assert answer.ok, answer.text
    return [photo["label"] for photo in answer.json()["predictions"]]


def as_curl(advice: str, *photos: Path) -> dict[str, Any]:
    """Return how `curl -F` sends photos, with the option that the advice has."""
    (name,) = re.findall(r"`curl -F (\w+)=@photo\.jpg ADDRESS`", advice)
    return {"files": [(name, part) for _, part in forms(*photos)]}


def test_a_photo_of_the_wrong_type_is_sent_with_each_that_is_named(service: Running) -> None:
    data = PANDA.read_bytes()
    advice = refusal(415, service.predict, data, headers={"Content-Type": "text/plain"})
    *types, form = re.findall(r"\w+/[\w-]+", advice)
    for kind in types:
        assert labels(service.predict, data, headers={"Content-Type": kind}) == ["panda"]
    (name,) = re.findall(f"files called (\\w+) as {form}", advice)
    assert labels(service.predict, files={name: data}) == ["panda"]


@pytest.mark.parametrize("name", ["file", "files[]", "image"])
def test_files_of_another_name_are_sent_as_curl_does(service: Running, name: str) -> None:
    advice = refusal(422, service.predict, files={name: PANDA.read_bytes()})
    assert labels(service.predict, **as_curl(advice, PANDA)) == ["panda"]


def test_a_form_that_was_cut_off_is_sent_as_curl_does(service: Running) -> None:
    form = requests.Request("POST", service.predict, files=forms(PANDA)).prepare()
    assert isinstance(form.body, bytes)
    kind = {"Content-Type": form.headers["Content-Type"]}
    advice = refusal(422, service.predict, form.body[:-40], headers=kind)
    assert labels(service.predict, **as_curl(advice, PANDA)) == ["panda"]


def test_photos_beyond_those_of_a_form_are_sent_in_a_second_one(classifier: Classifier) -> None:
    with running(classifier, Limits(max_in_flight=MOST_PHOTOS)) as service:
        advice = refusal(422, service.predict, files=forms(*[PANDA] * 5))
        most = int(advice.split()[3])
        for count in (most, 5 - most):
            assert len(labels(service.predict, **as_curl(advice, *[PANDA] * count))) == count


def test_photos_too_large_for_one_body_are_sent_one_by_one(service: Running) -> None:
    photos = sorted(EXAMPLES.glob("cat/*.jpg"))
    assert "send photos one by one" in refusal(413, service.predict, files=forms(*photos))
    for photo in photos:
        assert labels(service.predict, photo.read_bytes(), headers=JPEG) == ["cat"]


def test_who_is_refused_as_too_many_are_there_tries_again_after_the_time_named(
    service: Running,
) -> None:
    with ThreadPoolExecutor() as pool:
        with held():
            one = pool.submit(requests.post, service.predict, PANDA.read_bytes(), headers=JPEG)
            wait_until(lambda: service.server.traffic.photos.taken == 1)
            advice = refusal(503, service.predict, files=[("files", b"photo")] * MOST_PHOTOS)
        assert one.result().ok
    (seconds,) = re.findall(r"try again after (\d+) s", advice)
    sleep(int(seconds))
    assert labels(service.predict, PANDA.read_bytes(), headers=JPEG) == ["panda"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/predict"), ("GET", "/v1/predict")])
def test_a_wrong_path_or_method_is_looked_up(service: Running, method: str, path: str) -> None:
    advice = requests.request(method, service.address + path).json()["detail"]
    (list_of_paths,) = re.findall(r"/[\w.]+", advice)
    ((right, methods),) = (
        (name, methods)
        for name, methods in requests.get(service.address + list_of_paths).json()["paths"].items()
        if name.endswith("predict")
    )
    (post,) = methods
    answer = requests.request(
        post.upper(), service.address + right, data=PANDA.read_bytes(), headers=JPEG
    )
    assert answer.ok


def test_a_wrong_explain_is_made_a_boolean(service: Running) -> None:
    data = PANDA.read_bytes()
    address = f"{service.predict}?explain="
    assert "explain: Input should be a valid boolean" in refusal(
        422, f"{address}maybe", data, headers=JPEG
    )
    assert labels(f"{address}true", data, headers=JPEG) == ["panda"]
