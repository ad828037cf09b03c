"""Export the fine-tuned network as files that run without PyTorch, and check that they agree."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import atomic_write, read_json, write_json, write_text
from pandacat.core.stage import run
from pandacat.core.tables import read_table
from pandacat.data import provenance, store
from pandacat.data.crops import cut_crops
from pandacat.data.features import read_features
from pandacat.evaluation import export_checks
from pandacat.evaluation.networks import predict_split
from pandacat.models.classifier import Classifier
from pandacat.models.embed import split_features, tiled_logits
from pandacat.models.exporting import (
    export_onnx,
    export_openvino,
    quantize,
    silence,
    write_companions,
)
from pandacat.models.saved import CARD, load_model, save_description
from pandacat.report.card import card
from pandacat.tracking.journal import tracked_stage
from pandacat.training.calibration import calibrate

METRICS = paths.METRICS / "export.json"
ONNX = "model.onnx"
GOLDEN = (
    *("panda/giant_panda.jpg", "cat/kitten.jpg", "other/red_panda.jpg", "other/koala.jpg"),
    "LICENSES.md",
)
"""Of `examples`: photos with the probabilities that every form must give, and their licenses."""


def main() -> None:
    """Write models/exported, and how far its files agree with the network in PyTorch."""
    config = load_config()
    params, seed = config.export, config.evaluate.seed
    calibration = config.fine_tune.calibration
    model = load_model(paths.MODELS / "fine-tuned")
    crops, input_px = model.description.crops, model.description.input_px
    index, stored = store.read_index(paths.PHOTOS), read_features(paths.FEATURES)
    evaluation = read_json(paths.METRICS / "evaluate.json")
    predictions = {name: read_table(paths.PREDICTIONS / f"{name}.csv") for name in evaluation}
    origin = provenance.read(paths.PHOTOS / "provenance.json")
    golden = {name: (paths.EXAMPLES / name).read_bytes() for name in GOLDEN}
    license_text = paths.LICENSE.read_text(encoding="utf-8")
    checked = store.sample_images(paths.PHOTOS, index, "test", params.checked_photos)
    shown = store.sample_images(paths.PHOTOS, index, "train", params.int8_photos)

    with tracked_stage("export", params) as tracked, atomic_write(paths.EXPORTED) as folder:
        exported = export_openvino(model, folder)
        centers = [cut_crops(image, input_px, "center") for image in shown]
        with silence(), ThreadPoolExecutor(1) as pool:  # ONNX keeps but one core busy
            written = pool.submit(export_onnx, model, folder / ONNX)
            int8 = quantize(exported, folder / "int8", centers)
            classifier = Classifier(int8)
            validation = split_features(
                "validation", classifier, crops=crops, photo_folder=paths.PHOTOS, stored=stored
            )
            written.result()
        classes = store.split_labels(index, "validation", model.description.labels)
        images = partial(store.split_images, paths.PHOTOS, "validation")
        int8 = calibrate(
            int8,
            validation,
            classes,
            calibration,
            lambda model: tiled_logits(Classifier(model, classifier), validation, images),
        )
        save_description(folder / "int8", int8)
        networks = {"int8": Classifier(int8, classifier)}
        table = predict_split(networks, "test", photo_folder=paths.PHOTOS, stored=stored)
        metrics = export_checks.parity(
            [
                *(classifier.cut(image) for image in checked),
                export_checks.all_crops(classifier, export_checks.reduced(checked[0])),
            ],
            export_checks.by_classifier(Classifier(model, "torch")),
            {
                "openvino": export_checks.by_classifier(Classifier(exported)),
                "onnxruntime": export_checks.by_onnxruntime(folder / ONNX),
                "onnx_in_openvino": export_checks.by_openvino(folder / ONNX),
            },
        )
        metrics |= export_checks.quantized(table, predictions["test"], seed=seed)
        metrics["megabytes"] = export_checks.megabytes(folder)

        write_companions(folder, Classifier(exported), golden)
        write_json(folder / CARD, card(model, origin, evaluation, predictions))
        write_text(folder / "LICENSE", license_text)
        write_json(METRICS, metrics)
        tracked.log_artifact(METRICS)


if __name__ == "__main__":
    run(main)
