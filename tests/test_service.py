"""The service: what it answers to photos, to wrong requests, and to too many."""

import base64
import io
import json
import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from conftest import EXAMPLES
from PIL import Image
from services import JPEG, PANDA, Running, forms, held, running, wait_until

from pandacat.core.parallel import core_count
from pandacat.models.classifier import Classifier
from pandacat.models.engine import NoFeatureMapError
from pandacat.models.explanation import heat_image
from pandacat.models.loading import load_classifier
from pandacat.service.answers import Answer, Problem
from pandacat.service.limits import RETRY_SECONDS, Limits
from pandacat.service.traffic import SECURITY_HEADERS

PHOTOS = sorted(EXAMPLES.rglob("*.jpg"))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier("pretrained", models=Path("nowhere"))


@pytest.fixture(scope="module")
def service(classifier: Classifier) -> Iterator[Running]:
    with running(classifier, Limits(max_body_mb=5, max_in_flight=16)) as started:
        yield started


def pixels_of(url: str) -> np.ndarray:
    kind, _, png = url.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))


def test_a_photo_as_the_body_gets_the_classifiers_prediction(
    service: Running, classifier: Classifier
) -> None:
    expected = classifier.predict(PANDA)
    answer = requests.post(service.predict, PANDA.read_bytes(), headers=JPEG)
    assert answer.status_code == 200
    content = answer.json()
    assert content["model"] == {
        "title": classifier.description.title,
        "sha256": classifier.sha256,
        "labels": ["panda", "cat", "other"],
    }
    (photo,) = content["predictions"]
    assert (photo["label"], photo["reason"]) == ("panda", None)
    assert photo["probabilities"] == expected.probabilities
    assert list(photo["probabilities"]) == ["panda", "cat", "other"]


def test_the_crops_of_a_lone_photo_are_spread_over_threads_and_give_the_same(
    classifier: Classifier,
) -> None:
    model = classifier.model.described(crops="two_scales")
    several, threads = Classifier(model, classifier), set()
    if several.callers > core_count():
        pytest.skip("a GPU gets all crops at once")
    expected = several.predict_photo("", PANDA.read_bytes, explain=True)
    engine = several.engine

    def run_with_maps(images: np.ndarray) -> Any:
        threads.add(threading.get_ident())
        return engine.run_with_maps(images)

    several.engine = replace(engine, run_with_maps=run_with_maps)
    with running(several) as service:
        threads.clear()
        url = f"{service.predict}?explain=true"
        (photo,) = requests.post(url, PANDA.read_bytes(), headers=JPEG).json()["predictions"]
    assert len(threads) == several.callers
    assert photo["probabilities"] == expected.probabilities
    assert expected.heatmap is not None
    assert np.array_equal(pixels_of(photo["heatmap"]), np.asarray(heat_image(expected.heatmap)))


@pytest.mark.parametrize("kind", ["application/octet-stream", "IMAGE/PNG; charset=binary"])
def test_the_type_of_an_image_does_not_matter(service: Running, kind: str) -> None:
    headers = {"Content-Type": kind}
    answer = requests.post(service.predict, PANDA.read_bytes(), headers=headers)
    assert answer.json()["predictions"][0]["label"] == "panda"


def test_files_of_a_form_are_answered_in_their_order(
    service: Running, classifier: Classifier
) -> None:
    broken = ("files", ("broken.jpg", b"no photo"))
    twice = [*forms(*PHOTOS), broken, *forms(PANDA)]
    answer = requests.post(service.predict, files=twice)
    assert answer.status_code == 200
    rows = answer.json()["predictions"]
    assert [row["name"] for row in rows] == [*(p.name for p in PHOTOS), "broken.jpg", PANDA.name]
    assert [row["probabilities"] for row in rows[: len(PHOTOS)]] == [
        classifier.predict(photo).probabilities for photo in PHOTOS
    ]
    assert rows[-2]["label"] is rows[-2]["probabilities"] is rows[-2]["prediction_set"] is None
    assert rows[-2]["reason"]


@pytest.mark.parametrize("data", [b"", b"no photo", PANDA.read_bytes()[:300]])
def test_a_body_that_is_no_photo_gets_422_and_the_reason(service: Running, data: bytes) -> None:
    answer = requests.post(service.predict, data, headers=JPEG)
    assert answer.status_code == 422
    (photo,) = answer.json()["predictions"]
    assert photo["label"] is None
    assert photo["reason"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "", "imagejpeg"]
)
def test_other_bodies_get_415(service: Running, kind: str) -> None:
    answer = requests.post(service.predict, b"photo", headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert "image/jpeg" in answer.json()["detail"]


PART = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\nphoto\r\n'
FORM = PART + b"--x--\r\n"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", FORM),
        ("multipart/form-data; boundary=", FORM),
        ("multipart/form-data; boundary=y", FORM),
        (f"multipart/form-data; boundary={'x' * 300}", FORM),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", FORM[:-20]),
        ("multipart/form-data; boundary=x", b"--x--\r\n"),
        ("multipart/form-data; boundary=x", FORM.replace(b'name="files"', b"")),
        ("multipart/form-data; boundary=x", FORM.replace(b'"files"', b'"others"')),
        ("multipart/form-data; boundary=x", PART + FORM.replace(b'"files"', b'"others"')),
        ("multipart/form-data; boundary=x", FORM.replace(b'; filename="a.jpg"', b"")),
        ("multipart/form-data; boundary=x", FORM.replace(b"\r\n\r\nphoto", b"photo")),
        (
            "multipart/form-data; boundary=x; charset=punycode",
            FORM.replace(b"a.jpg", b"\xff-!\xfe"),
        ),
        ("multipart/form-data; boundary=x", 16 * PART + FORM),
    ],
)
def test_a_broken_form_or_one_without_files_gets_422_and_how_it_is_done(
    service: Running, kind: str, body: bytes
) -> None:
    answer = requests.post(service.predict, body, headers={"Content-Type": kind})
    assert answer.status_code == 422
    assert "curl -F files=@photo.jpg" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("filename*=UTF-8''%E7%8C%AB.jpg", "猫.jpg"),
        ("filename=\"=?utf-8?B?54yrLmpwZw==?=\"; filename*=utf-8''%E7%8C%AB.jpg", "猫.jpg"),
        ("FileName*=gbk'zh'%C3%A8.jpg; size=5", "猫.jpg"),
        ("filename*=UTF-8''a%22b%5Cc%3Bd.jpg", 'a"b\\c;d.jpg'),
        ("filename*=UTF-8''%ff.jpg", "\ufffd.jpg"),
        ("filename*=no-encoding''%E7%8C%AB.jpg", "猫.jpg"),
        ('filename="a.jpg"', "a.jpg"),
    ],
)
def test_a_name_that_is_encoded_as_in_a_header_is_decoded(
    service: Running, disposition: str, name: str
) -> None:
    body = FORM.replace(b'filename="a.jpg"', disposition.encode())
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = requests.post(service.predict, body, headers=kind)
    assert [photo["name"] for photo in answer.json()["predictions"]] == [name]


def test_a_name_that_is_no_text_is_answered_as_text(service: Running) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x; charset=unicode_escape"}
    answer = requests.post(service.predict, FORM.replace(b"a.jpg", rb"\ud800.jpg"), headers=kind)
    assert answer.status_code == 200
    assert answer.json()["predictions"][0]["name"] == "?.jpg"


@pytest.mark.parametrize("explain", ["maybe", "", "2"])
def test_a_wrong_parameter_gets_422_and_a_sentence(service: Running, explain: str) -> None:
    answer = requests.post(service.predict, PANDA.read_bytes(), params={"explain": explain})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("explain: ")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/predict", 405), ("POST", "/v1/model", 405), ("GET", "/docs", 404)],
)
def test_what_is_not_there_is_a_sentence(
    service: Running, method: str, path: str, status: int
) -> None:
    answer = requests.request(method, service.address + path)
    assert answer.status_code == status
    assert "/openapi.json lists" in answer.json()["detail"]


def test_the_examples_of_the_openapi_are_answers(service: Running) -> None:
    content = requests.get(f"{service.address}/openapi.json").json()
    responses = content["paths"]["/v1/predict"]["post"]["responses"]
    examples = {
        status: of["content"]["application/json"]["example"] for status, of in responses.items()
    }
    assert set(examples) == {"200", "408", "413", "415", "422", "503"}
    for status in ("200", "422"):
        example = examples.pop(status)
        assert Answer.model_validate(example).model_dump() == example
    for example in examples.values():
        assert Problem.model_validate(example).detail


def test_the_model_says_what_it_is_and_what_is_taken(
    service: Running, classifier: Classifier
) -> None:
    content = requests.get(f"{service.address}/v1/model").json()
    assert content["limits"] == {"max_body_mb": 5, "max_in_flight": 16, "seconds": 60}
    assert content["labels"] == ["panda", "cat", "other"]
    assert (content["backbone"], content["crops"]) == ("efficientnet_lite0", 1)
    assert content["coverage"] is None
    assert content["sha256"] == classifier.sha256


def test_a_body_of_a_stated_length_beyond_the_limit_gets_413_before_it_is_sent(
    service: Running,
) -> None:
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            b"Content-Length: 5000001\r\nExpect: 100-continue\r\n\r\n"
        )
        answer = HTTPResponse(client)
        answer.begin()
        assert answer.status == 413
        assert "more than 5 MB" in json.loads(answer.read())["detail"]


@pytest.mark.parametrize("kind", ["image/png", "multipart/form-data; boundary=x"])
def test_a_body_without_a_length_gets_413_once_it_is_too_large(service: Running, kind: str) -> None:
    begin = FORM.partition(b"photo")[0]
    chunks = (begin if number == 0 else bytes(100_000) for number in range(60))
    answer = requests.post(service.predict, chunks, headers={"Content-Type": kind})
    assert answer.status_code == 413
    assert "more than 5 MB" in answer.json()["detail"]
    assert service.server.traffic.bytes.taken == 0


@pytest.mark.parametrize("kind", ["image/png", "text/plain", "multipart/form-data; boundary=x"])
def test_a_client_that_closes_afterwards_gets_the_refusal_of_what_it_still_sends(
    service: Running, kind: str
) -> None:
    headers = {"Content-Type": kind, "Connection": "close"}
    answer = requests.post(service.predict, bytes(20_000_000), headers=headers)
    assert answer.status_code == (415 if kind == "text/plain" else 413)


def test_a_body_just_within_the_limit_is_read(service: Running) -> None:
    answer = requests.post(service.predict, bytes(5_000_000), headers=JPEG)
    assert answer.status_code == 422


def test_photos_beyond_those_in_flight_get_503_and_when_to_try_again(
    classifier: Classifier,
) -> None:
    with running(classifier, Limits(max_in_flight=3)) as service, ThreadPoolExecutor() as pool:
        with held():
            form = pool.submit(requests.post, service.predict, files=forms(PANDA, PANDA, PANDA))
            wait_until(lambda: service.server.traffic.photos.taken == 3)
            refused = requests.post(service.predict, PANDA.read_bytes(), headers=JPEG)
            gauge = requests.get(f"{service.address}/metrics").text
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == str(RETRY_SECONDS)
        assert "in flight" in refused.json()["detail"]
        assert "pandacat_photos_in_flight 3.0" in gauge
        assert len(form.result().json()["predictions"]) == 3
        wait_until(lambda: service.server.traffic.photos.taken == 0)
        assert requests.post(service.predict, PANDA.read_bytes(), headers=JPEG).ok


def test_more_bytes_than_there_is_room_for_get_503(classifier: Classifier) -> None:
    with running(classifier, Limits(max_body_mb=1)) as service, ThreadPoolExecutor(8) as pool:
        with held():
            sent = [
                pool.submit(requests.post, service.predict, bytes(1_000_000), headers=JPEG)
                for _ in range(8)
            ]
            wait_until(lambda: service.server.traffic.bytes.taken == 8_000_000)
            refused = requests.post(service.predict, bytes(1_000_000), headers=JPEG)
        assert refused.status_code == 503
        assert {job.result().status_code for job in sent} == {422}


def test_a_photo_that_takes_too_long_gets_503_and_others_do_not_wait_for_it(
    classifier: Classifier,
) -> None:
    limits = Limits(seconds=0.5)
    with running(classifier, limits) as service, held(lambda data: data == b"slow") as released:
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(requests.post, service.predict, b"slow", headers=JPEG)
            wait_until(lambda: service.server.traffic.photos.taken == 1)
            assert requests.post(service.predict, PANDA.read_bytes(), headers=JPEG).ok
            assert not waiting.done()
            late = waiting.result()
        files = [*forms(PANDA), ("files", ("slow.jpg", b"slow"))]
        rows = requests.post(service.predict, files=files).json()["predictions"]
        assert late.status_code == 503
        assert late.headers["Retry-After"]
        assert "longer than 0.5 s" in late.json()["detail"]
        assert [row["label"] for row in rows] == ["panda", None]
        assert "longer than 0.5 s" in rows[1]["reason"]
        released.set()
        wait_until(lambda: service.server.traffic.photos.taken == 0)


def test_many_photos_of_one_form_leave_turns_to_others(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    predict = Classifier.predict_photo

    def note(self: Classifier, name: str, read: Any, **options: Any) -> Any:
        order.append(name)
        return predict(self, name, read, **options)

    monkeypatch.setattr(Classifier, "predict_photo", note)
    count = 2 * classifier.callers + 20
    limits = Limits(max_in_flight=count + 1)
    with running(classifier, limits) as service, ThreadPoolExecutor() as pool:
        with held():
            form = pool.submit(requests.post, service.predict, files=forms(*[PANDA] * count))
            wait_until(lambda: service.server.traffic.photos.taken == count)
            alone = pool.submit(requests.post, service.predict, PANDA.read_bytes(), headers=JPEG)
            wait_until(lambda: service.server.traffic.photos.taken == count + 1)
        assert form.result().ok
        assert alone.result().ok
    assert order.index("photo") < count - 10


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/model", 200), ("/nothing", 404), ("/metrics", 200), ("/%00", 404)]
)
def test_every_answer_has_the_security_headers(service: Running, path: str, status: int) -> None:
    answer = requests.get(service.address + path)
    assert answer.status_code == status
    assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


def test_an_unexpected_error_is_json_and_its_cause_is_in_the_log_only(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(Classifier, "predict_photo", fail)
    with running(classifier) as service:
        answer = requests.post(service.predict, PANDA.read_bytes(), headers=JPEG)
    assert answer.status_code == 500
    assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert "secret" not in answer.text
    assert "report it as a bug" in answer.json()["detail"]
    assert "a secret" in caplog.text


def test_what_is_not_http_gets_400_as_json(service: Running) -> None:
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"Content-Security-Policy: default-src 'none'" in head
    assert "Invalid HTTP request" in json.loads(body)["detail"]


def test_the_log_has_a_line_for_each_request_and_names_no_file(
    service: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        requests.post(service.predict, files=[("files", ("my-secret.jpg", PANDA.read_bytes()))])
        requests.get(f"{service.address}/my-secret.jpg")
        requests.get(f"{service.address}/health/live?my-secret")
        wait_until(lambda: len(caplog.messages) == 3)
    first, *others = (message.rpartition(" ")[0] for message in caplog.messages)
    assert [line.rpartition(" ")[0] for line in (first, *others)] == [
        "POST /v1/predict 200",
        "GET none 404",
        "GET /health/live 200",
    ]
    assert "secret" not in caplog.text


def test_metrics_count_requests_and_photos(classifier: Classifier) -> None:
    with running(classifier) as service:
        requests.post(service.predict, files=[*forms(PANDA, PANDA), ("files", ("x", b"x"))])
        requests.post(service.predict, b"x", headers=JPEG)
        requests.get(f"{service.address}/secret")
        answer = requests.get(f"{service.address}/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    lines = answer.text.splitlines()
    assert 'pandacat_requests_total{route="/v1/predict",status="200"} 1.0' in lines
    assert 'pandacat_requests_total{route="/v1/predict",status="422"} 1.0' in lines
    assert 'pandacat_requests_total{route="none",status="404"} 1.0' in lines
    assert 'pandacat_photos_total{label="panda"} 2.0' in lines
    assert 'pandacat_photos_total{label="unreadable"} 2.0' in lines
    assert 'pandacat_request_seconds_count{route="/v1/predict"} 2.0' in lines
    assert "secret" not in answer.text


def test_nothing_is_written_to_disk(
    service: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    large = ("files", ("large.jpg", PANDA.read_bytes() + bytes(3_000_000)))
    assert requests.post(service.predict, files=[large]).ok


def test_answers_are_json_without_nan(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    answer = requests.post(service.predict, files=[*forms(PANDA), ("files", ("x", b"x"))])
    assert json.loads(answer.text, parse_constant=refuse)


def test_a_heatmap_comes_when_it_is_asked_for(service: Running, classifier: Classifier) -> None:
    data = PANDA.read_bytes()
    plain = requests.post(service.predict, data, headers=JPEG).json()["predictions"][0]
    asked = requests.post(service.predict, data, headers=JPEG, params="explain=true")
    (explained,) = asked.json()["predictions"]
    assert plain["heatmap"] is None
    expected = classifier.predict_photo("", lambda: data, explain=True).heatmap
    assert expected is not None
    assert np.array_equal(pixels_of(explained["heatmap"]), np.asarray(heat_image(expected)))
    assert explained["probabilities"] == plain["probabilities"]


def test_a_model_that_can_not_be_explained_says_so_and_still_predicts(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise NoFeatureMapError

    monkeypatch.setattr(Classifier, "_heatmap", refuse)
    with running(classifier) as service:
        assert requests.get(f"{service.address}/v1/model").json()["explains"] is False
        url = f"{service.predict}?explain=true"
        (photo,) = requests.post(url, PANDA.read_bytes(), headers=JPEG).json()["predictions"]
    assert (photo["label"], photo["heatmap"]) == ("panda", None)
