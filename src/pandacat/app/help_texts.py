"""What `pandacat` and its commands say with `--help`."""

EXAMPLES = """\
examples:
  pandacat predict examples/                   a folder and its sub-folders
  pandacat predict holiday.jpg 'zoo/*.png'     files and patterns
  pandacat predict zoo.zip                     the photos in a zip, which is not unpacked to disk
  curl -L ADDRESS | pandacat predict -         one photo from standard input
  pandacat predict photos/ -o table.csv        a table: path,label,p_panda,p_cat,p_other,reason
  pandacat predict photos/ --model pretrained  the ImageNet network, which needs no training
  pandacat predict photos/ --top 5             which ImageNet classes it takes the animals for
  pandacat predict photos/ --explain why/      pictures of what on the photos supports the labels
  pandacat predict photos/ --prediction-sets   panda, "panda or cat", "cat or other", ...

exit code: 0 if all photos were read; 1 if one could not be, or an error ended it; 2 for options
that do not exist
"""
SCORE_EXAMPLES = """\
examples:
  pandacat score photos/ --to scores                  Parquet files of 1,000 photos each
  pandacat score 2024.zip 2025.zip --to scores --model exported/int8
  pandacat score s3://bucket/2025 --to scores         object storage, with the extra s3
  pandacat score s3://bucket/2025 --to scores --ray 10.0.0.1:6379   several machines
  python -c "import pandas; print(pandas.read_parquet('scores'))"

Stopped or killed, the same command scores what is left; photos that came meanwhile are scored, too.
Each photo has a row: path, label, p_... of each label, prediction_set, sha256 of the file, reason
why it can't be read, and notes.

exit code: 0 if all photos were read; 1 if one could not be, or an error ended it; 2 for wrong
options, or if DEST holds the scores of another model or source; 130 if Ctrl-C stopped it
"""
SERVE_EXAMPLES = """\
examples:
  pandacat serve                               open the address that it prints in a browser
  pandacat serve --model pretrained --port 9000
  pandacat serve --host 0.0.0.0                for other machines, too: anybody who reaches this one

photos in, JSON out:
  curl -H 'Content-Type: image/jpeg' --data-binary @panda.jpg http://127.0.0.1:8000/v1/predict
  curl -F files=@panda.jpg -F files=@cat.png 'http://127.0.0.1:8000/v1/predict?explain=true'

/v1/model says what the model is, /openapi.json all paths, /metrics counts for Prometheus, and
/health/ready whether it takes photos. Nothing is stored, and the log names no files. Ctrl-C or
SIGTERM ends it when what is in flight is answered; a second one ends it at once.

exit code: 0 if it was stopped; 1 if an error ended it; 2 for wrong options; 130 if it was stopped
before all was answered
"""
SETS = """name all labels that can't be ruled out, other among them. Calibrated so that, with 90%%
confidence for each label, at least 95%% of its photos get a set that contains it, among photos like
those trained on (params.yaml: fine_tune.coverage, coverage_confidence)"""
TOP = """also show the N most probable ImageNet classes, in lines 20 at most (fine-tuning shifts
their probabilities)"""
MODEL = """fine-tuned (default), pretrained, exported, exported/int8, a folder or file of a model,
or its address in MLflow, such as runs:/ID/fine-tuned"""
RAY = """share the work among the machines of a Ray cluster, given by HOST:PORT, or `local` for the
cores of this one (extra ray, docs/scale.md); on CPUs only"""
MODEL_FOLDER = "of models (default: models, in the folder of dvc.yaml)"
ENCODING = "of names in zips that are not UTF-8, such as gbk or cp932 (default: guessed)"
EXPLAIN = """also write each photo to FOLDER, in gray, colored where it supports the label
(Grad-CAM)"""
DEVICE = "where the network runs; auto (default) takes the GPU where there is one"
MAX_BODY = "largest body of a request, in 10⁶ bytes; larger ones get 413 (default: 50)"
MAX_IN_FLIGHT = "photos that may wait or be predicted at once; further ones get 503 (default: 64)"
SECONDS = "that the prediction of a photo may take; longer ones get 503 (default: 60)"
PACKAGE = """Write an exported model in MLflow's form. Its input is a column `photo`, files' bytes:

  pandacat package packed
  mlflow models serve --model-uri packed --env-manager local
"""
PACKAGED = "of the exported model (default: models/exported)"
GATE = """Exit with 0 if no metric fails; with 1 if one does, because it regressed by more than
params.yaml and chance allow, broke its floor or ceiling, or is missing; with 2 if the metrics can't
be compared."""

SEARCH = """Search settings of fine-tuning (l2_sp, learning_rate, steps, seen_class_scale,
interpolation) on folds of the training photos' features, with Optuna; the test photos have no part
in it. Stopped, the same command goes on (docs/experiments.md)."""

REGISTRY = """Which version of the exported model is the one to use (docs/releases.md):
`--model models:/pandacat@champion`, for `pandacat predict` and `serve`."""
PROMOTE = """Make the challenger the champion, if it is not worse on photos that neither has seen.
Exit with 0 if it is promoted; with 1 if a metric regressed by more than params.yaml and chance
allow; with 2 if the two can't be compared."""

CACHE = """DVC's cache, shared through its default remote (docs/experiments.md): results, and what
was computed for other parameters. `make push` and `make pull` run it."""
CACHE_ACTIONS = {
    "push": "copy to the remote what it lacks",
    "pull": "fetch from the remote what is not here, and lay out the results of dvc.lock",
}
REGISTRY_ACTIONS = {
    "register": "make the exported model a version, the challenger",
    "promote": "make the challenger the champion, if it is not worse",
    "rollback": "make the previous version the champion again",
    "show": "list the versions",
}
