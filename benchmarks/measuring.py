"""How the benchmarks measure: ways in turn, medians, ratios; a table, JSON and a plot."""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pandacat.core.errors import PandacatError, sentence_of
from pandacat.core.files import atomic_write, write_json
from pandacat.core.parallel import core_count

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
PLOT = FOLDER / "results.png"
ARCHIVE = Path("data/raw/photos.zip")
"""What the pipeline fetched: the drawn sample by default."""


def run(main: Callable[[], None]) -> None:
    """Call `main`; an error becomes a sentence on stderr and exit code 1."""
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        sys.exit(f"error: {sentence_of(error)}")


def repeats(text: str) -> int:
    """Return a count of repeats, for `argparse`; it takes at least one for a median."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 up")
    return int(text)


@dataclass(frozen=True)
class Comparison:
    """Several ways to do the same work, side by side."""

    title: str
    unit: str
    """Of `values`; names ending in `/s` are rates, of which more is better."""
    values: dict[str, list[float]]
    """By way: one value for each repeat. Ours comes first."""
    ratios: dict[str, float]
    notes: dict[str, Any] = field(default_factory=dict)

    def table(self) -> str:
        """Return the medians and ratios as Markdown."""
        width = max(map(len, [*self.values, *self.ratios]))
        lines = [
            f"### {self.title}",
            "",
            f"| {'way':{width}} | {self.unit} | runs |",
            "|---|---|---|",
        ]
        for way, values in self.values.items():
            lines.append(f"| {way:{width}} | {median(values):.4g} | {len(values)} |")
        lines += [""] + [f"- {name}: **{ratio:.3g}**" for name, ratio in self.ratios.items()]
        lines += [f"- {name}: {_shown(value)}" for name, value in self.notes.items()]
        return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(part)}" for key, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def median(values: Sequence[float]) -> float:
    """Return the middle value."""
    return statistics.median(values)


def in_turn(ways: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds that each way took: first, second, …, and all again, `repeats` times.

    So other load on the machine affects all of them alike.
    """
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for repeat in range(repeats):
        for way, work in ways.items():
            start = time.perf_counter()
            work()
            seconds[way].append(time.perf_counter() - start)
            print(f"  {repeat + 1}/{repeats}  {way}: {seconds[way][-1]:.2f} s", flush=True)
    return seconds


def rates(seconds: Mapping[str, Sequence[float]], count: float) -> dict[str, list[float]]:
    """Return how much of `count` each run did in a second."""
    return {way: [count / second for second in runs] for way, runs in seconds.items()}


def ratio(values: Mapping[str, Sequence[float]], way: str, other: str) -> float:
    """Return the median over the repeats of `way` divided by `other` in the same repeat."""
    return median([a / b for a, b in zip(values[way], values[other], strict=True)])


def machine() -> dict[str, Any]:
    """Return cores, GPU and versions of this machine; no names or paths."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "cores": core_count(),
        "gpu": gpu,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def report(name: str, comparison: Comparison) -> None:
    """Print the table, put the comparison into `results.json`, and draw all of that file."""
    print(f"\n{comparison.table()}\n", flush=True)
    results = _earlier_results()
    results["machine"] = machine()
    results[name] = asdict(comparison)
    write_json(RESULTS, json.loads(json.dumps(results), parse_float=_rounded))
    draw(results)


def _earlier_results() -> dict[str, Any]:
    try:
        return dict(json.loads(RESULTS.read_text(encoding="utf-8"))) if RESULTS.exists() else {}
    except (ValueError, TypeError):
        raise PandacatError(
            f"{RESULTS} is damaged, so the table above is not in it: `git checkout` brings it back."
        ) from None


def _rounded(number: str) -> float:
    return float(f"{float(number):.5g}")


def draw(results: Mapping[str, Any]) -> None:
    """Write the plot: a bar for the median of each way, a dot for each run."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [Comparison(**content) for content in results.values() if "values" in content]
    figure, axes = pyplot.subplots(
        len(shown), figsize=(8, 0.6 + sum(0.5 + 0.32 * len(each.values) for each in shown)),
        height_ratios=[1 + len(each.values) for each in shown], squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axis, comparison in zip(axes[:, 0], shown, strict=True):
        names = list(comparison.values)
        medians = [median(comparison.values[name]) for name in names]
        bars = axis.barh(names, medians, color=[_color(name) for name in names])
        axis.bar_label(bars, fmt="%.4g", padding=14, fontsize=8)
        for place, name in enumerate(names):
            runs = comparison.values[name]
            axis.plot(runs, [place] * len(runs), "k.", markersize=3)
        axis.invert_yaxis()
        axis.margins(x=0.12)
        axis.set_title(f"{comparison.title} ({comparison.unit})", loc="left", fontsize=10)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    with atomic_write(PLOT) as aside:
        figure.savefig(aside, dpi=110, format="png")
    pyplot.close(figure)


def _color(way: str) -> str:
    return "#2a6f97" if way.startswith("pandacat") else "#b8c4cc"


def require(path: Path, how: str) -> Path:
    """Return `path`; exit with a sentence where there is nothing."""
    if not path.exists():
        raise SystemExit(f"There is no {path}: {how}")
    return path


def project() -> Path:
    """Return the project's top folder, and make it the current one."""
    top = FOLDER.parent
    os.chdir(top)
    return top
