"""`params.yaml` as validated, typed objects, and its resolution into one plan per arm.

The only definition of the parameters and their allowed values. A wrong value is refused with its
full path, the value given and the values allowed.

In the order in which data flows: `recipe` and `sections` define the sections of the file, `whole`
the checks across them; `plan_files` defines what stages depend on, and `resolve` makes it; `load`
reads the file, and `messages` phrases what is wrong in it.
"""

from cmmanet.params.load import load_params
from cmmanet.params.messages import ParamsError
from cmmanet.params.plan_files import (
    ArmPlan,
    ClaimsPlan,
    CrossPlan,
    DataPlan,
    EvaluatePlan,
    OcclusionPlan,
    ReadingsPlan,
    ReportPlan,
    SplitPlan,
)
from cmmanet.params.recipe import Losses, Optimiser, Schedule
from cmmanet.params.resolve import plans, resolve_arm, resolve_reading
from cmmanet.params.sections import TEST_FRAMES, Distance, Render, Rerank, TestFrames
from cmmanet.params.whole import PAPER_ARM, PAPER_SAMPLER, READING, Params

__all__ = [
    "PAPER_ARM",
    "PAPER_SAMPLER",
    "READING",
    "TEST_FRAMES",
    "ArmPlan",
    "ClaimsPlan",
    "CrossPlan",
    "DataPlan",
    "Distance",
    "EvaluatePlan",
    "Losses",
    "OcclusionPlan",
    "Optimiser",
    "Params",
    "ParamsError",
    "ReadingsPlan",
    "Render",
    "ReportPlan",
    "Rerank",
    "Schedule",
    "SplitPlan",
    "TestFrames",
    "load_params",
    "plans",
    "resolve_arm",
    "resolve_reading",
]
