"""docs/port.md's tables: what `pytrain port` takes and refuses, read from the importers themselves.

Run `python -m bench.plans.ported` after an importer has changed. A refusal is found in the source of the importer, and
of the functions of `pytrain.plan` that it calls: `place.refuse(what, instead)`.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.generated import fill
from pytrain import skops_boosters
from pytrain.plan import importing, labels, lightgbm, onnx_port, registry, text, unsettled, values, xgboost
from pytrain.plan.onnx_graph import OPERATORS

PAGE = Path(__file__).parents[2] / "docs" / "port.md"
SEPARATOR = "<br>"
Names = Mapping[str, Any]

# These import whatever estimator is within: its refusals are in its own row.
_INNER = {"convert", "transform", "predict"}
# What any step may meet: their refusals are told once.
_ANYWHERE = (values, unsettled, labels)
_TITLES = {
    "compose": "What holds other estimators",
    "search": "What chose or corrected an estimator",
    "impute": "Missing values",
    "scale": "Numbers",
    "discretize": "Bins",
    "encode": "Categories",
    "select": "Selection of columns",
    "decompose": "Projections and clusters",
    "text": "Text",
    "linear": "Linear models",
    "bayes": "Naive Bayes and discriminants",
    "calibrate": "Calibration",
    "forests": "Trees",
    "boosted": "LightGBM and XGBoost as estimators",
}


def parts() -> dict[str, list[str]]:
    """Return the lines of each generated part."""
    return {
        "anywhere": _anywhere(),
        "estimators": _estimators(),
        "files": _files(),
        "onnx": _onnx(),
        "refused": _refused(),
    }


def _anywhere() -> list[str]:
    calls = [
        (vars(module), node)
        for module in _ANYWHERE
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "refuse"
    ]
    return [f"- {refusal}" for refusal in _told(calls)]


def _estimators() -> list[str]:
    lines = []
    for module in importing.FAMILIES:
        family = module.__name__.removeprefix("pytrain.plan.")
        if family not in _TITLES:  # a file's format, below
            continue
        by_function: dict[Callable[..., Any], list[str]] = {}
        for estimator, function in registry.supported().items():
            if function.__module__ == module.__name__:
                by_function.setdefault(function, []).append(estimator.__name__)
        lines += [
            f"### {_TITLES[family]}",
            "",
            "| estimator | what a plan computes | refused: instead |",
            "|---|---|---|",
        ]
        for function, names in by_function.items():
            lines.append(
                f"| {' '.join(f'`{name}`' for name in names)} | {_cell(_first_sentences(function))} | "
                f"{_cell(SEPARATOR.join(refusals(function)))} |"
            )
        lines.append("")
    return lines


def _first_sentences(function: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def refusals(function: Callable[..., Any]) -> list[str]:
    """Return what an importer refuses, and what to do instead; `…` is what a message fills in."""
    return _told(_refusing(function, set()))


def _told(calls: Iterable[tuple[Names, ast.Call]]) -> list[str]:
    found: dict[str, None] = {}
    for names, call in calls:
        what, instead = (_text(argument, names) for argument in call.args[:2])
        if names is vars(text) and instead == "…":  # one call for several settings
            found |= {f"has another {name} than {wanted!r}: {do}": None for name, (wanted, do) in text.FIXED.items()}
        else:
            found[f"{what}: {instead}"] = None
    return list(found)


def _refusing(function: Callable[..., Any], seen: set[Callable[..., Any]]) -> Iterator[tuple[Names, ast.Call]]:
    """Yield each call of `refuse`, in this function and in those of the package that it calls."""
    if function in seen:
        return
    seen.add(function)
    told = {module.__name__ for module in _ANYWHERE}
    names = function.__globals__
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and node.func.attr == "refuse":
            yield names, node
        elif isinstance(node.func, ast.Name) and node.func.id not in _INNER:
            called = names.get(node.func.id)
            if (
                inspect.isfunction(called)
                and called.__module__.startswith("pytrain.plan.")
                and called.__module__ not in told
            ):
                yield from _refusing(called, seen)


def _text(node: ast.expr, names: Names) -> str:
    """Return a message as the source has it, with what is known before any model is read."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, names) for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left, names) + _text(node.right, names)
    expression = node.value if isinstance(node, ast.FormattedValue) else node
    try:
        return str(eval(compile(ast.Expression(expression), "<message>", "eval"), dict(names)))  # noqa: S307 - our source
    except NameError:
        return "…"


def _module_refusals(module: Any) -> list[str]:
    """Return what the reader of a file refuses: `Refusal(what, where=…, remedy=…)`."""
    found: dict[str, None] = {}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refusal":
            remedy = next(keyword.value for keyword in node.keywords if keyword.arg == "remedy")
            found[f"{_text(node.args[0], vars(module))}: {_text(remedy, vars(module))}"] = None
    return list(found)


def _files() -> list[str]:
    def row(file: str, taken: str, module: Any) -> str:
        return f"| {file} | {taken} | {_cell(SEPARATOR.join(_module_refusals(module)))} |"

    def listed(objectives: Sequence[str]) -> str:
        return ", ".join(f"`{name}`" for name in objectives if name)

    versions = ", ".join(lightgbm.VERSIONS)
    return [
        *("| file | what is taken | refused: instead |", "|---|---|---|"),
        row("`.skops`", "the estimators above", skops_boosters),
        row("LightGBM's `.txt`", f"versions {versions}; objectives {listed(lightgbm.OBJECTIVES)}", lightgbm),
        row("XGBoost's `.json`, `.ubj`", f"`gbtree`; objectives {listed(xgboost.OBJECTIVES)}", xgboost),
    ]


def _onnx() -> list[str]:
    by_function: dict[Callable[..., Any], list[str]] = {}
    for (domain, name), function in OPERATORS.items():
        by_function.setdefault(function, []).append(f"`{domain}.{name}`" if domain else f"`{name}`")
    lines = ["| operator | refused: instead |", "|---|---|"]
    lines += [f"| {' '.join(names)} | {_cell(SEPARATOR.join(refusals(f)))} |" for f, names in by_function.items()]
    lines += ["", "| not taken | instead |", "|---|---|"]
    return lines + [f"| `{name}` | {_cell(instead)} |" for name, instead in onnx_port.SUBSTITUTES.items()]


def _refused() -> list[str]:
    lines = ["| estimator | instead |", "|---|---|"]
    return lines + [f"| `{name}` | {_cell(instead)} |" for name, instead in sorted(registry.SUBSTITUTES.items())]


if __name__ == "__main__":
    fill(PAGE, parts())
