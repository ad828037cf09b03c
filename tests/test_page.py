"""The page of `pandacat serve`, in a browser that does what its users do."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import EXAMPLES
from PIL import Image
from playwright.sync_api import BrowserContext, Page, Route, expect, sync_playwright
from services import Running, held, running

from pandacat.app.output import table_columns, write_csv
from pandacat.config.loading import default_config
from pandacat.core.names import FORMULA_STARTS
from pandacat.data.formats import PHOTO_ENDINGS
from pandacat.data.sources import photo_files
from pandacat.models.classifier import Classifier, Prediction
from pandacat.models.loading import imagenet_model
from pandacat.models.saved import ConformalThresholds
from pandacat.service.api import STATIC
from pandacat.service.limits import Limits

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

EXAMPLE_PHOTOS = sorted(EXAMPLES.rglob("*.jpg"))

WIDTHS = (360, 1280)

CARD = {
    "figures": [
        {"name": "accuracy on test photos", "value": 0.958, "low": 0.9, "high": 0.98, "photos": 144}
    ],
    "limits": ["It was never shown a photo of a fox: measure it (`evaluate.field_test`)."],
}

pytestmark = pytest.mark.skipif(
    not BROWSER, reason="needs Chromium, as `apt-get install chromium` installs it"
)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """The pretrained network with prediction sets, some of which have several labels."""
    model = imagenet_model(default_config())
    sets = ConformalThresholds(0.95, 0.9, (0.0002, 0.0005, 0.05))
    return Classifier(replace(model, description=replace(model.description, conformal=sets)))


@pytest.fixture(scope="module")
def service(classifier: Classifier) -> Iterator[Running]:
    with running(classifier.compiled()) as service:
        yield service


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("chromium"),
            executable_path=BROWSER,
            args=FLAGS,
            viewport={"width": 1280, "height": 900},
        )
        context.set_default_timeout(20_000)
        yield context
        context.close()


@contextmanager
def opened(browser: BrowserContext, service: Running, *allowed: str) -> Iterator[Page]:
    """Open the page; it may ask its own server alone, and report no errors but the allowed."""
    page, problems, hosts = browser.new_page(), [], set()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.goto(service.address)
    yield page
    page.close()
    assert [each for each in problems if not any(text in each for text in allowed)] == []
    assert {host for host in hosts if host} == {f"127.0.0.1:{service.port}"}


@pytest.fixture
def page(browser: BrowserContext, service: Running) -> Iterator[Page]:
    """The page, of whose errors none is allowed, those of its security policy included."""
    with opened(browser, service) as page:
        yield page


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.jpg"
    path.write_bytes(EXAMPLE_PHOTOS[0].read_bytes()[:200])
    return path


def drop(page: Page, *paths: Path) -> None:
    """Drop files and folders on the page, as a file manager does."""
    devtools = page.context.new_cdp_session(page)
    files = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": 150, "y": 300, "data": files}
        devtools.send("Input.dispatchDragEvent", event)
    devtools.detach()


def finish(page: Page) -> None:
    """Wait until all photos are answered."""
    page.wait_for_selector("#toolbar.finished", timeout=60_000)


def card(page: Page, name: str) -> Any:
    return page.locator(".card").filter(has=page.get_by_text(name, exact=True))


def probabilities(page: Page) -> dict[str, list[float]]:
    """Return the probabilities in full of each card, in the order of its bars, by name."""
    return dict(
        page.eval_on_selector_all(
            ".card",
            """cards => cards.map(card => [
                card.querySelector(".name").textContent,
                [...card.querySelectorAll("data")].map(each => Number(each.value)),
            ])""",
        )
    )


def predicted(classifier: Classifier, *paths: Path) -> dict[str, Prediction]:
    return {path.name: classifier.predict_photo(path.name, path.read_bytes) for path in paths}


def answer_instead(page: Page, *, model: dict[str, Any] | None = None, **prediction: Any) -> None:
    """Let what the server says about its model, and what it predicts, be something else."""
    unremarkable: dict[str, Any] = {
        "reason": None,
        "notes": [],
        "prediction_set": None,
        "heatmap": None,
    }

    def describe(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, json=response.json() | (model or {}))

    page.route("**/v1/model", describe)
    if prediction:
        content = {"predictions": [unremarkable | prediction]}
        page.route("**/v1/predict*", lambda route: route.fulfill(json=content))
    page.reload()


def test_photos_that_are_dropped_get_the_answers_of_the_library(
    page: Page, classifier: Classifier, broken: Path
) -> None:
    drop(page, *EXAMPLE_PHOTOS, broken)
    finish(page)
    shown, expected = probabilities(page), predicted(classifier, *EXAMPLE_PHOTOS, broken)
    assert list(shown) == list(expected)
    for name, prediction in expected.items():
        if prediction.probabilities is None:
            expect(card(page, name).locator(".headline")).to_have_text("Can’t be read")
            reason = str(prediction.reason)
            expect(card(page, name).locator(".set")).to_contain_text(reason[1:])
        else:
            assert shown[name] == pytest.approx([*prediction.probabilities.values()], abs=1e-6)
            headline = {"panda": "Panda", "cat": "Cat", "other": "Neither"}[str(prediction.label)]
            expect(card(page, name).locator(".headline")).to_have_text(headline)


def test_the_prediction_set_is_said_in_words(page: Page, classifier: Classifier) -> None:
    drop(page, *EXAMPLE_PHOTOS)
    finish(page)
    sentences = {
        ("other", ("other",)): "Everything else is ruled out.",
        ("panda", ("panda",)): "Everything else is ruled out.",
        ("other", ("cat", "other")): "Cat or neither: can’t rule out cat.",
        ("other", ("panda", "other")): "Panda or neither: can’t rule out panda.",
        ("other", ("panda", "cat", "other")): "Panda, cat or neither: can’t rule out panda or cat.",
        ("cat", ("cat", "other")): "Cat or neither: can’t rule out that it is neither.",
    }
    said = set()
    for name, prediction in predicted(classifier, *EXAMPLE_PHOTOS).items():
        sentence = sentences[str(prediction.label), tuple(prediction.prediction_set or ())]
        expect(card(page, name).locator(".set")).to_have_text(sentence)
        said.add(sentence)
    assert len(said) == 5


def test_the_table_is_that_of_the_command(
    page: Page, classifier: Classifier, broken: Path, tmp_path: Path
) -> None:
    names = [*(f"{start}1+1.jpg" for start in FORMULA_STARTS), 'a, "b".jpg', "a\rb.jpg"]
    for name in names:
        shutil.copy(EXAMPLE_PHOTOS[0], tmp_path / name)
    paths = [*EXAMPLE_PHOTOS[2:4], broken, *(tmp_path / name for name in names)]
    drop(page, *paths)
    finish(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save CSV").click()
    assert download.value.suggested_filename == "predictions.csv"
    table = tmp_path / "expected.csv"
    columns = table_columns(classifier.labels, prediction_sets=False, top=0)
    write_csv(table, predicted(classifier, *paths).values(), columns)
    assert Path(download.value.path()).read_text() == table.read_text()
    assert "./=1+1.jpg" in table.read_text()


def test_a_heat_map_lies_over_its_photo_and_is_fetched_once(page: Page) -> None:
    explained = []
    page.on("request", lambda request: explained.append("explain=true" in request.url))
    drop(page, *EXAMPLE_PHOTOS[:2])
    finish(page)
    assert not any(explained)
    toggle, heat = page.locator(".toggle").first, page.locator(".card .map").first
    toggle.click()
    expect(heat).to_be_visible()
    assert str(heat.get_attribute("src")).startswith("data:image/png;base64,")
    width, height = heat.evaluate(
        "async map => (await map.decode(), [map.naturalWidth, map.naturalHeight])"
    )
    with Image.open(EXAMPLE_PHOTOS[0]) as photo:
        assert width / height == pytest.approx(photo.width / photo.height, rel=0.02)
    box, picture = heat.bounding_box(), page.locator(".card .photo").first.bounding_box()
    assert box == picture
    toggle.click()
    expect(heat).to_be_hidden()
    toggle.click()
    expect(heat).to_be_visible()
    assert sum(explained) == 1


def test_heat_maps_of_all_photos_are_switched_on_and_off_at_once(page: Page) -> None:
    drop(page, *EXAMPLE_PHOTOS[:3])
    finish(page)
    page.get_by_role("switch", name="Heat-maps").check()
    expect(page.locator(".card .map:visible")).to_have_count(3)
    drop(page, *EXAMPLE_PHOTOS[3:5])
    expect(page.locator(".card .map:visible")).to_have_count(5)
    page.get_by_role("switch", name="Heat-maps").uncheck()
    expect(page.locator(".card .map:visible")).to_have_count(0)


def test_heat_maps_that_are_switched_on_before_the_answer_follow_it(page: Page) -> None:
    with held():
        drop(page, *EXAMPLE_PHOTOS[:2])
        expect(page.locator('[data-state="sending"]')).to_have_count(2)
        page.get_by_role("switch", name="Heat-maps").check()
    expect(page.locator(".card .map:visible")).to_have_count(2)


def test_of_a_folder_all_photos_are_taken_and_the_rest_is_named(page: Page) -> None:
    drop(page, EXAMPLES)
    finish(page)
    names = [f"examples/{path.relative_to(EXAMPLES).as_posix()}" for path in EXAMPLE_PHOTOS]
    assert list(probabilities(page)) == names
    passed_over = "Passed over, as no photos: 1 (LICENSES.md)"
    expect(page.locator("#notice")).to_have_text(passed_over)


def test_a_folder_can_be_chosen(page: Page) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a folder").click()
    chooser.value.set_files(EXAMPLES / "cat")
    finish(page)
    assert sorted(probabilities(page)) == ["cat/chelsea.jpg", "cat/kitten.jpg"]


def test_in_folders_what_has_the_ending_of_a_photo_is_one(page: Page) -> None:
    accepted = str(page.locator("#photo-input").get_attribute("accept")).split(",")
    assert sorted(accepted) == sorted({"image/*"} | PHOTO_ENDINGS)


def test_what_systems_keep_beside_photos_counts_for_nothing(page: Page, tmp_path: Path) -> None:
    for name in (".hidden", "@eaDir", "#recycle", "$RECYCLE.BIN", "FOUND.000", "cat"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        shutil.copy(EXAMPLE_PHOTOS[0], tmp_path / "photos" / name)
    drop(page, tmp_path / "photos")
    finish(page)
    assert list(probabilities(page)) == [f"photos/cat/{EXAMPLE_PHOTOS[0].name}"]
    expect(page.locator("#notice")).to_have_text("")
    code = (STATIC / "page.js").read_text()
    for names in ("SYSTEM_NAMES", "SYSTEM_PATTERNS"):
        listed = code.partition(f"{names} = [")[2].partition(",\n]")[0]
        assert {*json.loads(f"[{listed}]")} == {*getattr(photo_files, names)}


def test_a_photo_is_pasted(page: Page, classifier: Classifier) -> None:
    pixels = [*EXAMPLE_PHOTOS[0].read_bytes()]
    page.evaluate(
        """pixels => {
            const clipboardData = new DataTransfer();
            const photo = new Uint8Array(pixels);
            clipboardData.items.add(new File([photo], "image.png", {type: "image/jpeg"}));
            const paste = new ClipboardEvent("paste", {clipboardData, bubbles: true});
            document.body.dispatchEvent(paste);
        }""",
        pixels,
    )
    finish(page)
    (expected,) = predicted(classifier, EXAMPLE_PHOTOS[0]).values()
    assert probabilities(page) == {
        "pasted-1.jpeg": pytest.approx([*(expected.probabilities or {}).values()], abs=1e-6)
    }


def test_a_hundred_photos_are_answered_four_at_a_time(page: Page, tmp_path: Path) -> None:
    in_flight, most = set(), [0]

    def sent(request: Any) -> None:
        if "predict" in request.url:
            in_flight.add(request)
            most[0] = max(most[0], len(in_flight))

    page.on("request", sent)
    page.on("requestfinished", lambda request: in_flight.discard(request))
    for number in range(100):
        with Image.open(EXAMPLE_PHOTOS[number % 11]) as photo:
            photo.resize((120, 90)).save(tmp_path / f"{number:03}.jpg")
    drop(page, tmp_path)
    expect(page.locator(".card")).to_have_count(100)
    finish(page)
    shown = probabilities(page)
    assert len(shown) == 100
    assert all(sum(values) == pytest.approx(1) for values in shown.values())
    assert 2 <= most[0] <= 4
    loaded = page.locator(".card .photo[src]").count()
    assert 0 < loaded < 60, "pictures far from the window are decoded"


def test_progress_is_shown_and_can_be_stopped_and_continued(page: Page) -> None:
    with held() as released:
        drop(page, *EXAMPLE_PHOTOS)
        expect(page.locator("#count")).to_have_text("0 of 11 photos")
        expect(page.locator('[data-state="sending"]')).to_have_count(4)
        expect(page.locator('[data-state="waiting"]')).to_have_count(7)
        page.get_by_role("button", name="Stop").press("Enter")
        expect(page.locator('[data-state="stopped"]')).to_have_count(11)
        expect(page.get_by_role("button", name="Continue")).to_be_focused()
        released.set()
    page.keyboard.press("Enter")
    finish(page)
    expect(page.locator('[data-state="answered"]')).to_have_count(11)
    expect(page.locator("#announcement")).to_contain_text("Done:")


def test_the_page_tries_again_where_the_server_is_busy_or_away(
    browser: BrowserContext, service: Running
) -> None:
    refusals = iter(range(2))

    def refuse(route: Route) -> None:
        match next(refusals, None):
            case 0:
                detail = json.dumps({"detail": "Too many photos are in flight."})
                route.fulfill(status=503, headers={"Retry-After": "1"}, body=detail)
            case 1:
                route.abort()
            case None:
                route.continue_()

    with opened(browser, service, "503", "ERR_FAILED") as page:
        page.route("**/v1/predict*", refuse)
        drop(page, EXAMPLE_PHOTOS[0])
        trouble = page.locator("#trouble")
        expect(trouble).to_have_text("Too many photos are in flight. Trying again in 1 s.")
        expect(trouble).to_contain_text(
            "The server does not answer. Is pandacat serve still running?"
        )
        finish(page)
        expect(trouble).to_have_text("")


@pytest.mark.parametrize("status", [415, 500])
def test_what_the_server_refuses_has_its_reason_and_can_be_tried_again(
    browser: BrowserContext, service: Running, status: int
) -> None:
    with opened(browser, service, f"{status}") as page:
        refused = {"status": status, "body": json.dumps({"detail": "<b>Send a photo.</b>"})}
        page.route("**/v1/predict*", lambda route: route.fulfill(**refused), times=1)
        drop(page, EXAMPLE_PHOTOS[0])
        expect(page.locator(".headline")).to_have_text("No answer")
        expect(page.locator(".set")).to_have_text("<b>Send a photo.</b>")
        page.get_by_role("button", name="Try again").click()
        finish(page)


def test_photos_wait_until_the_model_is_loaded(browser: BrowserContext, service: Running) -> None:
    with opened(browser, service, "503") as page:
        loading = {"status": 503, "headers": {"Retry-After": "1"}, "body": '{"detail": "Loading."}'}
        page.route("**/v1/model", lambda route: route.fulfill(**loading), times=2)
        page.reload()
        drop(page, EXAMPLE_PHOTOS[0])
        expect(page.locator("#trouble")).to_have_text("Loading. Trying again in 1 s.")
        expect(page.locator(".headline")).to_have_text("Waiting")
        finish(page)
        expect(page.locator(".headline")).to_have_text("Cat")


def test_a_photo_larger_than_the_server_takes_is_not_sent(
    browser: BrowserContext, classifier: Classifier
) -> None:
    with (
        running(classifier, Limits(max_body_mb=0.04)) as service,
        opened(browser, service) as page,
    ):
        drop(page, EXAMPLES / "cat")  # 35 and 46 kB
        expect(page.locator('[data-state="answered"]')).to_have_count(1)
        expect(card(page, "cat/kitten.jpg").locator(".set")).to_contain_text(
            "arger than the 0.04 MB"
        )
        finish(page)


def test_names_of_files_are_text(page: Page, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>.jpg"
    shutil.copy(EXAMPLE_PHOTOS[0], tmp_path / name)
    drop(page, tmp_path / name)
    finish(page)
    expect(page.locator(".card .name")).to_have_text(name)
    assert page.locator("img[onerror]").count() == 0


def test_photos_are_filtered_and_sorted_by_label(page: Page) -> None:
    drop(page, *EXAMPLE_PHOTOS)
    finish(page)
    page.get_by_role("combobox", name="Sort").select_option("by label")
    headlines = page.locator(".card .headline").all_text_contents()
    assert headlines == sorted(headlines, key=["Panda", "Cat", "Neither"].index)
    page.get_by_role("combobox", name="Sort").select_option("least certain first")
    certainties = [max(values) for values in probabilities(page).values()]
    assert certainties == sorted(certainties)
    page.get_by_role("radio", name="Cat").check()
    assert set(page.locator(".card:visible .headline").all_text_contents()) == {"Cat"}


def test_photos_are_removed_one_by_one_and_all_at_once(page: Page) -> None:
    drop(page, *EXAMPLE_PHOTOS[:3])
    finish(page)
    page.get_by_role("radio", name="Cat").check()
    page.get_by_role("button", name="Remove kitten.jpg").click()
    expect(page.get_by_role("button", name="Remove chelsea.jpg")).to_be_focused()
    assert list(probabilities(page)) == ["chelsea.jpg", "cow.jpg"]
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator(".card")).to_have_count(0)
    expect(page.locator("#toolbar")).to_be_hidden()


def focused(page: Page) -> dict[str, Any]:
    """Return the accessible name, the identifier and the outline of what has the focus."""
    return page.evaluate(
        """() => {
            const it = document.activeElement;
            const shown = it.type === "radio" ? it.parentElement : it;
            return {
                id: it.id, class: it.className, tag: it.tagName, value: it.value,
                name: it.ariaLabel || it.labels?.[0]?.textContent || it.textContent,
                outline: getComputedStyle(shown).outlineStyle,
            };
        }"""
    )


def tab_to(page: Page, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Press Tab until the focus is where it is wanted; all on the way can be seen and named."""
    for _ in range(60):
        page.keyboard.press("Tab")
        found = focused(page)
        if found["tag"] == "BODY":
            continue
        assert found["outline"] != "none", found
        assert found["name"].strip(), found
        if wanted(found):
            return found
    raise AssertionError("no Tab leads there")


def test_everything_works_by_keyboard_alone(page: Page) -> None:
    with page.expect_file_chooser() as chooser:
        tab_to(page, lambda it: it["id"] == "choose-photos")
        page.keyboard.press("Enter")
    chooser.value.set_files(EXAMPLE_PHOTOS[:4])
    finish(page)
    tab_to(page, lambda it: it["tag"] == "INPUT" and it["value"] == "all")
    page.keyboard.press("ArrowRight")
    assert focused(page)["value"] == "cat"
    expect(page.locator(".card:visible")).to_have_count(2)
    page.keyboard.press("ArrowLeft")
    tab_to(page, lambda it: it["id"] == "all-maps")
    page.keyboard.press("Space")
    expect(page.locator(".card .map:visible")).to_have_count(4)
    tab_to(page, lambda it: it["id"] == "sort")
    page.keyboard.type("by n")
    expect(page.locator("#sort")).to_have_value("name")
    tab_to(page, lambda it: it["name"] == "Enlarge chelsea.jpg")
    page.keyboard.press("Enter")
    expect(page.locator("#viewer")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer-name")).to_have_text("cow.jpg")
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    expect(page.get_by_role("button", name="Enlarge cow.jpg")).to_be_focused()
    tab_to(page, lambda it: it["class"] == "toggle")
    page.keyboard.press("Space")
    expect(page.locator(".card .map:visible")).to_have_count(3)
    tab_to(page, lambda it: it["class"] == "remove")
    page.keyboard.press("Enter")
    assert focused(page)["name"] == "Remove dog.jpg"
    expect(page.locator(".card")).to_have_count(3)


def test_the_model_s_own_card_says_how_far_to_trust_it(page: Page) -> None:
    answer_instead(page, model={"card": CARD, "drawn": True, "title": "two <b>boxes</b> of photos"})
    trust = page.get_by_role("region", name="How far to trust this")
    for text in ("95.8\u00a0%", "(90.0–98.0) · 144 photos", "never shown a photo of a fox"):
        expect(trust).to_contain_text(text)
    expect(trust.locator("li code")).to_have_text("evaluate.field_test")
    expect(trust).to_contain_text("trained on two <b>boxes</b> of photos")
    expect(trust).to_contain_text("with 90\u00a0% confidence, at least 95\u00a0% of a label’s")
    expect(page.locator("#drawn")).to_be_visible()


def test_a_model_trained_on_photos_has_no_warning(page: Page) -> None:
    expect(page.locator(".trust")).to_contain_text("comes without figures of its own")
    expect(page.locator(".warning:visible")).to_have_count(0)


@pytest.mark.parametrize(
    ("labels", "question", "headline"),
    [
        (["red_fox", "other"], "Red fox, or not?", "No red fox"),
        (["panda", "cat", "other"], "Panda, cat, or neither?", "Neither"),
        (["fox", "dog", "owl", "other"], "Fox, dog, owl, or none of these?", "None of these"),
    ],
)
def test_words_are_made_of_the_model_s_labels(
    page: Page, labels: list[str], question: str, headline: str
) -> None:
    shares = {label: 0.9 if label == "other" else 0.1 / (len(labels) - 1) for label in labels}
    answer_instead(page, model={"labels": labels}, label="other", probabilities=shares)
    expect(page.locator("h1")).to_have_text(question)
    drop(page, EXAMPLE_PHOTOS[0])
    finish(page)
    expect(page.locator(".headline")).to_have_text(headline)
    assert [*probabilities(page).values()] == [[*shares.values()]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(
    page: Page, broken: Path, tmp_path: Path, width: int, scheme: Any
) -> None:
    page.set_viewport_size({"width": width, "height": 780})
    page.emulate_media(color_scheme=scheme)
    shutil.copy(EXAMPLE_PHOTOS[0], tmp_path / f"{'long' * 30}.jpg")
    needed = "document.documentElement.scrollWidth"
    assert page.evaluate(needed) == width
    with held():
        drop(page, *EXAMPLE_PHOTOS[:3], broken, tmp_path / f"{'long' * 30}.jpg")
        expect(page.get_by_role("button", name="Stop")).to_be_in_viewport(ratio=1)
        assert page.evaluate(needed) == width
    finish(page)
    assert page.evaluate(needed) == width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(20, 23, 26)") == (scheme == "dark")
