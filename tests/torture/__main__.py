"""Do it all, or the named parts: `python -m torture [PART …]`; see docs/reliability.md."""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from torture import (
    bits,
    clients,
    disks,
    downloads,
    fuzz,
    inputs,
    interrupts,
    kills,
    queues,
    settings,
    trackers,
)
from torture.project import ROOT, Project
from torture.report import Row, line, record


def main() -> None:
    """Run the parts and print their rows of the table; stop at the first fault."""
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--folder", type=Path, help="to keep for other parts; else a temporary one")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory(prefix="pandacat-torture-") as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        for part in options.parts or PARTS:
            started = time.monotonic()
            rows = PARTS[part](folder)
            record(part, rows)
            for row in rows:
                print(line(row, f"make torture PARTS={part}"))
            print(f"{part}: {time.monotonic() - started:.0f} s", flush=True)


def _fuzzed(target: str) -> Callable[[Path], list[Row]]:
    def part(_: Path) -> list[Row]:
        count = fuzz.TARGETS[target]
        found = fuzz.fuzz(target, count)
        assert not found.faults, "\n".join(found.faults)
        return [Row(f"damaged {target}", "mutants by a seeded generator", count, str(found))]

    return part


def _killed(stage: str) -> Callable[[Path], list[Row]]:
    def part(folder: Path) -> list[Row]:
        undisturbed = _undisturbed(folder)
        disturbed = bits.copied(folder / f"killed-{stage}", undisturbed)
        return [kills.kill_stage(disturbed, undisturbed, stage)]

    return part


def _repro_killed(folder: Path) -> list[Row]:
    return [kills.kill_repro(folder / "Kopie, größer", _undisturbed(folder), seconds=20)]


def _interrupted(folder: Path) -> list[Row]:
    undisturbed = _undisturbed(folder)
    disturbed = bits.copied(folder / "interrupted", undisturbed)
    return [
        interrupts.interrupted_stages(disturbed, undisturbed),
        interrupts.interrupted_predictions(undisturbed, ROOT / "examples"),
    ]


def _with_damaged_inputs(folder: Path) -> list[Row]:
    undisturbed = _undisturbed(folder)
    disturbed = bits.copied(folder / "damaged", undisturbed)
    return [inputs.damaged_inputs(disturbed, undisturbed)]


def _with_odd_settings(folder: Path) -> list[Row]:
    undisturbed = _undisturbed(folder)
    disturbed = bits.copied(folder / "odd", undisturbed)
    return [settings.odd_settings(disturbed, undisturbed)]


def _on_bad_disks(folder: Path) -> list[Row]:
    undisturbed = _undisturbed(folder)
    if not disks.can_mount():
        print("disks: left out, since only the superuser can mount a small one")
        return []
    stages = list(undisturbed.stages)
    return [
        *disks.full_disk(folder / "full", undisturbed, stages),
        *disks.read_only(folder / "read-only", undisturbed, stages),
    ]


def _on_other_cores(folder: Path) -> list[Row]:
    undisturbed = _undisturbed(folder)
    return bits.any_cores(folder / "cores", undisturbed, list(undisturbed.stages))


def _with_other_seeds(folder: Path) -> list[Row]:
    return bits.seeds(folder / "seeds", _undisturbed(folder))


def _tracked(folder: Path) -> list[Row]:
    return [
        *trackers.flaky_server(folder / "flaky"),
        *trackers.many_at_once(folder / "at once"),
    ]


def _downloaded(folder: Path) -> list[Row]:
    return downloads.killed_downloads(folder / "downloads")


def _queued(folder: Path) -> list[Row]:
    return queues.two_workers(folder, _undisturbed(folder))


def _undisturbed(folder: Path) -> Project:
    return kills.reference(folder / "undisturbed")


PARTS: dict[str, Callable[[Path], list[Row]]] = {
    **{target: _fuzzed(target) for target in fuzz.TARGETS},
    **{f"kill-{stage}": _killed(stage) for stage in Project(ROOT).stages},
    "kill-repro": _repro_killed,
    "interrupts": _interrupted,
    "downloads": _downloaded,
    "inputs": _with_damaged_inputs,
    "settings": _with_odd_settings,
    "disks": _on_bad_disks,
    "cores": _on_other_cores,
    "seeds": _with_other_seeds,
    "tracking": _tracked,
    "queue": _queued,
    "service": lambda _: [clients.hostile_clients()],
}

if __name__ == "__main__":
    main()
