"""A slow interpreter of plans in NumPy, to test importers by. Every value is a dense array.

Trees alone are run by the engine's C code.
"""

from __future__ import annotations

import csv
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.utils import murmurhash3_32

from pytrain.plan.operators import FUNCTIONS
from tests.pytrain.plan import native

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytrain.plan import Plan, Value

MISSING = b"\xff"


def run(plan: Plan, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Return the outputs by name, each (n, w), and which rows are refused (n,). Texts are None where missing."""
    values: dict[bytes, Any] = {}
    n = 0
    for value in plan.inputs:
        given = inputs[value.name]
        if value.type == "text":
            values[value.digest] = [MISSING if t is None else t.encode() for t in given]
        else:
            kind = np.int32 if value.type == "int32" else np.float64
            values[value.digest] = np.asarray(given, kind).reshape(len(given), value.width)
        n = len(given)
    refused = np.zeros(n, bool)
    with np.errstate(all="ignore"):
        for value in plan.nodes:
            tensors = {name: t.array for name, t in value.tensors.items()}
            read = [values[v.digest] for v in value.inputs]
            values[value.digest] = _STEPS[value.op](read, value, tensors, refused)
            assert value.type == "text" or values[value.digest].shape == (n, value.width), value
    return {name: values[v.digest] for name, v in plan.outputs.items()}, refused


def _checked(x: Any, value: Value, refused: Any) -> Any:
    if value.settings.get("finite"):
        refused |= ~np.isfinite(x).all(axis=1)
    return x


def _finite(read: Any, value: Value, _t: Any, refused: Any) -> Any:
    refused |= (np.isinf(read[0]) if value.settings["nan"] else ~np.isfinite(read[0])).any(axis=1)
    return read[0]


def _normalize(read: Any, value: Value, _t: Any, _r: Any) -> Any:
    x = read[0]
    norm = {
        "l1": lambda: np.abs(x).sum(axis=1),
        "l2": lambda: np.sqrt((x * x).sum(axis=1)),
        "max": lambda: np.abs(x).max(axis=1),
    }[value.settings["norm"]]()
    least = np.nextafter(0, 1) if value.inputs[0].sparse else 10 * np.finfo(float).eps
    return x / np.where(norm < least, 1, norm)[:, None]


def _bins(read: Any, value: Value, t: Any, _r: Any) -> Any:
    ends = np.cumsum((0, *value.settings["counts"]))
    edges = [t["edges"][a:b] for a, b in pairwise(ends)]
    return np.column_stack([np.searchsorted(e, read[0][:, j], side="right") for j, e in enumerate(edges)]).astype(float)


def _polynomial(read: Any, _v: Value, t: Any, _r: Any) -> Any:
    return np.stack([np.prod(read[0] ** row, axis=1) for row in t["powers"]], axis=1)


def _lookup(read: Any, value: Value, t: Any, refused: Any) -> Any:
    unknown = value.settings["unknown"]
    if "keys" in t:
        found = {("NaN" if np.isnan(k) else k): c for k, c in zip(t["keys"], t["codes"], strict=True)}
        keys = ["NaN" if np.isnan(k) else k for k in read[0][:, 0]]
    else:
        data, offsets = t["bytes"].tobytes(), t["offsets"]
        texts = [data[a:b] for a, b in pairwise(offsets.tolist())]
        found, keys = dict(zip(texts, t["codes"], strict=True)), read[0]
    if unknown is None:
        refused |= np.array([k not in found for k in keys], bool)
    return np.array([found.get(k, 0.0 if unknown is None else unknown) for k in keys], float)[:, None]


def _expand(read: Any, value: Value, _t: Any, _r: Any) -> Any:
    return np.hstack(
        [(read[0][:, [j]] == np.arange(size)).astype(float) for j, size in enumerate(value.settings["sizes"])]
    )


def _distances(read: Any, value: Value, t: Any, refused: Any) -> Any:
    x, c = _checked(read[0], value, refused), t["centers"]
    square = (x * x).sum(axis=1)[:, None] - 2 * x @ c.T + (c * c).sum(axis=1)
    return np.sqrt(np.maximum(square, 0))


def _nearest(read: Any, value: Value, t: Any, refused: Any) -> Any:
    x, c = _checked(read[0], value, refused), t["centers"]
    return ((c * c).sum(axis=1) - 2 * x @ c.T).argmin(axis=1)[:, None].astype(float)


def _shares(x: Any) -> Any:
    total = x.sum(axis=1, keepdims=True)
    return np.where(total == 0, 1 / x.shape[1], x / np.where(total == 0, 1, total))


def _link(read: Any, value: Value, _t: Any, _r: Any) -> Any:
    return {
        "sigmoid": expit,
        "binary": lambda x: np.hstack([1 - expit(x), expit(x)]),
        "softmax": lambda x: softmax(x, axis=1),
        "ovr": lambda x: _shares(expit(x)),
        "exp": np.exp,
        "huber": lambda x: (np.clip(x, -1, 1) + 1) / 2,
        "shares": _shares,
        "parts": lambda x: x / np.where(x.sum(axis=1) == 0, 1, x.sum(axis=1))[:, None],
    }[value.settings["kind"]](read[0])


def _argmax(read: Any, _v: Value, _t: Any, _r: Any) -> Any:
    x = read[0]
    return (x > 0).astype(float) if x.shape[1] == 1 else x.argmax(axis=1)[:, None].astype(float)


def _gather(read: Any, _v: Value, t: Any, _r: Any) -> Any:
    return t["table"][read[0][:, 0].astype(int)]


def _mean(read: Any, _v: Value, _t: Any, _r: Any) -> Any:
    return sum(read[1:], start=read[0]) / len(read)


def _csv(read: Any, value: Value, _t: Any, refused: Any) -> Any:
    s = value.settings
    rows = []
    for row, line in enumerate(read[0]):
        fields = fields_of(line, s["separator"])
        if fields is None or len(fields) != s["fields"]:
            refused[row] = True
            fields = [""] * s["fields"]
        kept = [MISSING if fields[c] == s["missing"] else fields[c].encode() for c in s["columns"]]
        rows.append(kept if len(kept) > 1 else kept[0])
    return rows


def fields_of(line: bytes, separator: str) -> list[str] | None:
    """Return what Python's csv module reads in a line; None if it refuses it."""
    if line == MISSING:
        return None
    try:
        rows = list(csv.reader([line.decode()], delimiter=separator, strict=True))
    except csv.Error:
        return None
    return (rows and rows[0]) or [""]


BLANKS = b" \t"
NUMBER = re.compile(rb"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity|nan)", re.IGNORECASE)
WHOLE = re.compile(rb"[+-]?\d+")


def number(text: bytes, to: str) -> float | None:
    """Return what Python's float, or int, reads in a text; None if it is of no accepted form, or out of range."""
    if text == MISSING:
        return float("nan") if to == "float64" else None
    text = text.strip(BLANKS)
    if len(text) > 1000 or not (NUMBER if to == "float64" else WHOLE).fullmatch(text):
        return None
    found = float(text) if to == "float64" else int(text)
    if to == "float64":
        return None if np.isinf(found) and b"n" not in text.lower() else found
    return found if -(2**31) <= found < 2**31 else None


def _parse(read: Any, value: Value, _t: Any, refused: Any) -> Any:
    found = [number(text, value.settings["to"]) for text in read[0]]
    refused |= np.array([x is None for x in found], bool)
    return np.array([0 if x is None else x for x in found], value.settings["to"])[:, None]


def _select(read: Any, value: Value, _t: Any, _r: Any) -> Any:
    columns = value.settings["columns"]
    if value.type != "text":
        return read[0][:, list(columns)]
    return [[row[c] for c in columns] if len(columns) > 1 else row[columns[0]] for row in read[0]]


def _lower(read: Any, _v: Value, _t: Any, refused: Any) -> Any:
    refused |= np.array([t == MISSING for t in read[0]], bool)
    return [t.decode(errors="replace").lower().encode() for t in read[0]]


def _replace(read: Any, _v: Value, t: Any, refused: Any) -> Any:
    refused |= np.array([x == MISSING for x in read[0]], bool)
    texts = [text.decode() for text in _texts(t)]

    def replaced(c: str) -> str:
        row = t["rows"][256 * int(t["blocks"][ord(c) >> 8]) + (ord(c) & 255)]
        return c if row < 0 else texts[row]

    return ["".join(map(replaced, x.decode(errors="replace"))).encode() for x in read[0]]


def grams(text: str, s: Mapping[str, Any], stop: set[str]) -> list[str]:
    """Return a text's n-grams."""
    if s["analyzer"] == "word":
        words = [w for w in re.findall(r"\w+", text) if len(w) >= s["token"] and w not in stop]
        return [" ".join(words[i : i + n]) for n in range(s["low"], s["high"] + 1) for i in range(len(words) - n + 1)]
    if s["analyzer"] == "char":
        text = re.sub(r"\s\s+", " ", text)
        return [text[i : i + n] for n in range(s["low"], s["high"] + 1) for i in range(len(text) - n + 1)]
    found = []
    for word in (f" {w} " for w in text.split()):
        for n in range(s["low"], s["high"] + 1):
            found += [word[i : i + n] for i in range(max(1, len(word) - n + 1))]
            if n >= len(word):
                break
    return found


def _texts(t: Mapping[str, Any], prefix: str = "") -> list[bytes]:
    if f"{prefix}offsets" not in t:
        return []
    data = t[f"{prefix}bytes"].tobytes()
    return [data[a:b] for a, b in pairwise(t[f"{prefix}offsets"].tolist())]


def _ngrams(read: Any, value: Value, t: Any, refused: Any) -> Any:
    s = value.settings
    refused |= np.array([x == MISSING for x in read[0]], bool)
    stop = {w.decode(errors="replace") for w in _texts(t, "stop_")}
    columns = {w.decode(): i for i, w in enumerate(_texts(t))}
    out, seen = np.zeros((len(read[0]), value.width)), np.zeros((len(read[0]), value.width), bool)
    for row, text in enumerate(read[0]):
        for gram in grams(text.decode(errors="replace"), s, stop):
            if value.op == "hashing":
                h = int(murmurhash3_32(gram.encode(), seed=0))
                column, by = abs(h) % value.width, -1 if h < 0 and s["alternate_sign"] else 1
            else:
                column, by = columns.get(gram, -1), 1
            if column >= 0:
                out[row, column] += by
                seen[row, column] = True
    return seen.astype(float) if s["binary"] else out


def _tfidf(read: Any, value: Value, t: Any, _r: Any) -> Any:
    x = read[0]
    if value.settings["sublinear"]:
        x = np.where(x > 0, np.log(np.where(x > 0, x, 1)) + 1, 0)
    return x * t["idf"] if "idf" in t else x


def _indices(read: Any, value: Value, t: Any, refused: Any) -> Any:
    """Return the logits of indices_linear, fm and deepfm, computed in float64."""
    table = t["table"].astype(np.float64)
    outside = ((read[0] < 0) | (read[0] >= len(table))).any(axis=1)
    refused |= outside
    e = table[np.where(outside[:, None], 0, read[0])]  # (n, F, 1 + k)
    s, q = e.sum(axis=1), (e * e).sum(axis=1)
    if value.op == "indices_linear":
        logit = s
    elif value.op == "fm":
        logit = s[:, :1] + 0.5 * (s * s - q)[:, 1:].sum(axis=1, keepdims=True)
    else:
        h = e.reshape(len(e), -1)
        for i in range(value.settings["layers"]):
            h = np.maximum(h @ t[f"kernel{i}"] + t[f"layer_bias{i}"], 0)
        logit = np.hstack([s, s * s - q, h]) @ t["head"]
    return (logit + t["bias"]).astype(np.float32)


_STEPS: dict[str, Any] = {
    **dict.fromkeys(("indices_linear", "fm", "deepfm"), _indices),
    "csv": _csv,
    "parse": _parse,
    "lower": _lower,
    "replace_characters": _replace,
    "ngrams": _ngrams,
    "hashing": _ngrams,
    "tfidf": _tfidf,
    "concat": lambda r, _v, _t, _r: np.hstack(r),
    "select": _select,
    "cast": lambda r, v, _t, _r: r[0].astype(v.settings["to"]),
    "dense": lambda r, _v, _t, _r: r[0],
    "mean": _mean,
    "finite": _finite,
    "add": lambda r, _v, t, _r: r[0] + t["value"],
    "sub": lambda r, _v, t, _r: r[0] - t["value"],
    "mul": lambda r, _v, t, _r: r[0] * t["value"],
    "div": lambda r, _v, t, _r: r[0] / t["value"],
    "clip": lambda r, v, _t, _r: np.clip(r[0], v.settings["low"], v.settings["high"]),
    "impute": lambda r, _v, t, _r: np.where(np.isnan(r[0]), t["value"], r[0]),
    "missing": lambda r, _v, _t, _r: np.isnan(r[0]).astype(float),
    "equal_missing": lambda r, v, _t, _r: np.where(r[0] == v.settings["value"], np.nan, r[0]),
    "normalize": _normalize,
    "binarize": lambda r, v, _t, _r: (r[0] > v.settings["threshold"]).astype(float),
    "function": lambda r, v, _t, _r: getattr(np, dict(zip(FUNCTIONS, FUNCTIONS, strict=True))[v.settings["name"]])(
        r[0]
    ),
    "bins": _bins,
    "polynomial": _polynomial,
    "lookup": _lookup,
    "expand": _expand,
    "gather": _gather,
    "linear": lambda r, v, t, f: _checked(r[0], v, f) @ t["coef"].T + t["intercept"],
    "project": lambda r, v, t, f: _checked(r[0], v, f) @ t["matrix"].T,
    "distances": _distances,
    "nearest": _nearest,
    "link": _link,
    "argmax": _argmax,
    "sigmoid_calibration": lambda r, v, _t, _r: expit(-(v.settings["a"] * r[0] + v.settings["b"])),
    "trees": native.step,
    "leaves": native.step,
    "isotonic": lambda r, _v, t, _r: np.interp(r[0], t["x"], t["y"]),
}
