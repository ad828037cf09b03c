"""Whether a challenger may replace the champion, by the regression gate."""

from fnmatch import fnmatchcase
from typing import Any

from pandacat.app.gate import power, table
from pandacat.config.loading import load_config
from pandacat.core.errors import PandacatError, some_of
from pandacat.core.paths import MODELS, PHOTOS
from pandacat.data import store
from pandacat.evaluation.gate.comparison import compare
from pandacat.evaluation.gate.rescoring import check_counts, photo_sets, rescore
from pandacat.models import registry
from pandacat.models.classifier import Classifier
from pandacat.models.loading import load_classifier
from pandacat.models.registry import CHALLENGER, CHAMPION


def regressed(client: Any, champion: str, challenger: str) -> bool:
    """Return whether the gate finds a version worse than another; print what it finds.

    Both are scored on photos that neither has seen, of the test split and the field test.

    Raises:
        PandacatError: they can't be compared.
    """
    config = load_config()
    photos = client.get_model_version(registry.MODEL, challenger).tags.get("photos")
    classifiers = {CHAMPION: _load(champion), CHALLENGER: _load(challenger)}
    labels = classifiers[CHALLENGER].labels
    here = store.dataset_fingerprint(store.read_index(PHOTOS))
    if photos != here or config.label_names != labels:
        raise PandacatError(
            f"Version {challenger} was made from other photos or labels than those here: check out "
            "its commit, which `pandacat registry show` has, and run `dvc repro`; or register the "
            "model that is here."
        )
    if classifiers[CHAMPION].labels != labels:
        raise PandacatError(_other(champion, "has other labels"))
    seen = [*registry.read_training_photos(champion), *registry.read_training_photos(challenger)]
    sets = {}
    for name, given in photo_sets(config, photo_folder=PHOTOS).items():
        sets[name] = given.unseen(seen, config.preprocess.near_duplicate_bits)
        left_out = given.photos.name[~given.photos.name.isin(sets[name].photos.name)]
        if len(left_out):
            print(
                f"{len(left_out)} of {len(given.photos)} photos ({name}) are left out: one of the "
                f"models has seen them, or copies of them: {some_of(left_out)}"
            )
    check_counts(sets["test"].photos, labels)
    sides = rescore(classifiers, sets)
    rules = {
        pattern: rule
        for pattern, rule in config.gate.items()
        if any(fnmatchcase(metric, pattern) for metric in sides[CHALLENGER].metrics)
    }
    rows = compare(sides[CHAMPION], sides[CHALLENGER], rules)
    print(table(rows), "", *power(sides[CHALLENGER], rows), sep="\n")
    print(f"The baseline is version {champion}, the champion; now is version {challenger}.")
    return any(row.failed for row in rows)


def _load(version: str) -> Classifier:
    try:
        return load_classifier(registry.address(version), models=MODELS)
    except PandacatError as error:
        raise PandacatError(_other(version, f"can't be used here ({error})")) from None


def _other(version: str, problem: str) -> str:
    return (
        f"Version {version} {problem}, so the two can't be compared. `pandacat registry register` "
        f"makes the model that is here the challenger. To have it without a comparison, remove the "
        f"alias {CHAMPION} on MLflow's page (`make ui`) and promote again."
    )
