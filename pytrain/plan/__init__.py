"""Plans: a model as data, a graph of operators over typed columns. `docs/plan-format.md` is their contract.

    tensors      parameters as objects, each stored once by its sha256
    operators    the operators: their settings, parameters and what they return
    chain        the operators as methods
    values       Value, a node that importers chain, or an Input
    unsettled    values that disappear as the graph is built: columns of a type not known yet, replaced texts
    graph        Plan, a whole graph with its outputs
    codec        write_plan, read_plan
    publishing   publish_plan: a plan that was written by hand, as a version (docs/plan-builder.md)
    registry     importers of estimators, by type; places and refusals

An importer is a function that turns one fitted estimator into values:

    @importer(StandardScaler)
    def standard_scaler(estimator: Any, value: Value, place: Place) -> Value:
        return value.numbers().sub(estimator.mean_).div(estimator.scale_)

A transformer's importer returns a Value, a predictor's a Prediction. Nothing is written before `write_plan`. What no
output needs is left out, so an importer may offer more values than are used.
"""

from pytrain.plan.codec import read_plan, write_plan
from pytrain.plan.graph import Plan
from pytrain.plan.places import Place
from pytrain.plan.prediction import Prediction
from pytrain.plan.publishing import publish_plan
from pytrain.plan.registry import convert, importer
from pytrain.plan.tensors import Tensor
from pytrain.plan.unsettled import Inputs
from pytrain.plan.values import Input, Value, concat, mean, node

__all__ = [
    "Input",
    "Inputs",
    "Place",
    "Plan",
    "Prediction",
    "Tensor",
    "Value",
    "concat",
    "convert",
    "importer",
    "mean",
    "node",
    "publish_plan",
    "read_plan",
    "write_plan",
]
