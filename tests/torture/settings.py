"""Odd values that `params.yaml` may have, and the stages that run with them."""

import copy
import os
import random
from collections import Counter
from typing import Any

from pandacat.config.loading import parse_config
from pandacat.core.errors import PandacatError
from torture.inputs import UNEXPECTED, fate, load_packages
from torture.params import ODD_VALUES, places
from torture.project import CALM, TRAINING, Project, small_params
from torture.report import Row

TIMES_EACH, TIMES_EACH_TRAINING = 12, 30
SECONDS_EACH = 20
"""Nothing is wrong with a run that would take longer, such as one of a million epochs."""

NOT_RUN = "fetch_photos"
"""It starts processes of its own, which would be left behind."""

EXTREMES = (5, 100, 178, 1000, 4096, 1_000_000, 1e-6, 0.01, 0.899, 0.999999, 1000.0, 1e6)
"""Values at the ends of what is allowed, beside the odd ones."""


def odd_settings(disturbed: Project, undisturbed: Project) -> Row:
    """Run stages by hand, each time with another value of a parameter that they declare."""
    os.environ |= CALM | {"GOMP_SPINCOUNT": "2000"}  # as stages/run does; read as packages load
    fates: Counter[str] = Counter()
    for stage in reversed(undisturbed.stages):
        declared = undisturbed.stages[stage].get("params", [])
        if not declared or stage == NOT_RUN:
            continue
        load_packages(undisturbed, stage)
        for number in range(TIMES_EACH_TRAINING if stage in TRAINING else TIMES_EACH):
            name, value, content = _variant(declared, random.Random(f"{stage} {number}"))
            disturbed.write_params(content)
            case = f"{stage} with {name}: {value}"
            fates[found := fate(disturbed, stage, case, SECONDS_EACH)] += 1
            assert found != UNEXPECTED, case
    happened = ", ".join(f"{count:,} {found}" for found, count in fates.most_common())
    return Row("odd settings", f"{TIMES_EACH} in each stage, by hand", fates.total(), happened)


def _variant(declared: list[str], generator: random.Random) -> tuple[str, Any, dict[str, Any]]:
    """Return a declared parameter's name, an odd value for it, and all parameters with that."""
    while True:
        content = copy.deepcopy(small_params())
        name, place, key = generator.choice(places(content))
        value = copy.deepcopy(generator.choice((*ODD_VALUES, *EXTREMES)))
        if not any(f"{name}.".startswith(f"{part}.") for part in declared) or value == place[key]:
            continue
        place[key] = value
        try:
            parse_config(content)
        except PandacatError:
            continue
        return name, value, content
