"""Thousands of mutants, each examined in a process that may crash.

A target is a module of this package with two functions: `mutant(number)` returns the bytes of that
mutant, the same every time, and `examine(data)` returns the outcome in a word or raises.
"""

import importlib
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

TARGETS = {"photos": 40_000, "archives": 6_000, "params": 6_000, "models": 3_000}
"""How many mutants of each are tried in the long form."""

SECONDS_EACH = 10
"""Of the processor; a mutant that takes more hangs."""
WAITING_SECONDS = 60
"""By the clock, for one that waits for something; on a busy machine others take time, too."""
MEMORY_BYTES = 2 << 30
"""A worker that takes so much more address space gets a `MemoryError`."""


@dataclass
class Findings:
    """The outcomes of a target's mutants."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    """Crashes, hangs and unexpected errors, with the number of the mutant."""
    slowest_seconds: float = 0.0
    peak_megabytes: int = 0
    """Of the worker that took most."""

    def __str__(self) -> str:
        outcomes = ", ".join(
            f"{count:,} {outcome}" for outcome, count in self.outcomes.most_common()
        )
        return (
            f"{outcomes}; slowest {self.slowest_seconds:.1f} s, at most {self.peak_megabytes} MB; "
            f"{len(self.faults) or 'no'} faults"
        )


def fuzz(target: str, count: int, workers: int | None = None) -> Findings:
    """Examine the first `count` mutants of a target."""
    workers = workers or os.cpu_count() or 1
    findings = Findings()
    with ThreadPoolExecutor(workers) as pool:
        shares = [range(first, count, workers) for first in range(workers)]
        for part in pool.map(lambda share: _examined(target, share), shares):
            findings.outcomes += part.outcomes
            findings.faults += part.faults
            findings.slowest_seconds = max(findings.slowest_seconds, part.slowest_seconds)
            findings.peak_megabytes = max(findings.peak_megabytes, part.peak_megabytes)
    return findings


def _examined(target: str, numbers: range) -> Findings:
    """Examine mutants in a worker; after one that kills it, go on in another."""
    findings = Findings()
    while numbers:
        command = [sys.executable, "-m", "torture.fuzz", target]
        share = map(str, (numbers.start, numbers.stop, numbers.step))
        process = subprocess.Popen(
            [*command, *share], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        number = numbers.start - numbers.step
        assert process.stdout
        for line in process.stdout:
            kind, _, text = line.rstrip("\n").partition(" ")
            match kind:
                case "begin":
                    number = int(text)
                case "outcome":
                    findings.outcomes[text] += 1
                case "fault":
                    findings.faults.append(f"{target} mutant {number}: {text}")
                case "slowest":
                    findings.slowest_seconds = max(findings.slowest_seconds, float(text))
                case "peak":
                    findings.peak_megabytes = max(findings.peak_megabytes, int(text))
        code = process.wait()
        if code == 0:
            break
        end = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        findings.faults.append(f"{target} mutant {number}: the process ended by {end}")
        numbers = range(number + numbers.step, numbers.stop, numbers.step)
    return findings


def _work(target: str, numbers: range) -> None:
    module = importlib.import_module(f"torture.{target}")
    module.examine(module.mutant(0))  # imports and originals, before time and memory count
    most = mapped_bytes() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    slowest = 0.0
    for number in numbers:
        print("begin", number, flush=True)
        data = module.mutant(number)
        signal.setitimer(signal.ITIMER_PROF, SECONDS_EACH)  # SIGPROF ends the process
        signal.setitimer(signal.ITIMER_REAL, WAITING_SECONDS)  # so does SIGALRM
        try:
            print("outcome", module.examine(data))
        except Exception as error:
            print("fault", type(error).__name__, " ".join(str(error).split())[:200])
        signal.setitimer(signal.ITIMER_REAL, 0)
        left, _ = signal.setitimer(signal.ITIMER_PROF, 0)
        slowest = max(slowest, SECONDS_EACH - left)
    print("slowest", slowest)
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)


def mapped_bytes() -> int:
    """Return how much address space this process has taken; 0 where the system does not say."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[0]) * resource.getpagesize() if pages.exists() else 0


if __name__ == "__main__":
    _, name, *share = sys.argv
    sys.path.insert(0, str(Path(__file__).parents[1]))
    _work(name, range(*map(int, share)))
