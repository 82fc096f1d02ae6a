"""The training manager: which campaigns to train, on all cores; which classifiers to remove.

A classifier's file says on which data and by which trainer, recipe and prior it was fitted, so nothing else needs to be
kept: a manager that was killed goes on where it was. Only one manager at a time may use a directory of classifiers.

Order of a round: the prior's file, then the campaigns' files, then the removal of priors that no file needs. A ranker
that reads along has at any time the prior of each classifier that it serves.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytrain.errors import ClassifierError, ConfigError, DataSetError
from pytrain.ranking import datasets, files
from pytrain.ranking.datasets import Counts
from pytrain.ranking.trainers import Pool, Shared
from pytrain.ranking.training import Job, Outcome, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pytrain.ranking.datasets import DataSet
    from pytrain.ranking.recipe import RankRecipe

BACKENDS = ("loky", "threading", "ray", "dask")
CLUSTERS = ("ray", "dask")  # backends of many machines
RAY_CALLS = 1000  # campaigns that Ray trains between two reports of progress
EXTRAS = {"ray": "gavel-pytrain[ray]", "dask": "gavel-pytrain[dask]"}


@dataclass
class Round:
    """What one round did. Names are of data sets."""

    trained: int = 0
    current: int = 0
    rows: int = 0
    positives: int = 0
    prior: int = 0
    too_small: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)  # a warning, and of how many campaigns
    seconds: float = 0.0

    def wire(self) -> dict[str, Any]:
        """Return the round for the JSON line."""
        return {**self.__dict__, "seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class _Done:
    """What is known of a campaign's file, or of a campaign too small for one."""

    data: bytes
    trainer: str
    prior: int
    counts: Counts | None = field(default=None, compare=False)  # of the data; None: an earlier process trained it


class Manager:
    """Trains what changed, round by round. It holds the directory's lock while it lives; see `close`.

    With `jobs` 0 it uses all cores of this machine, or of the backend's cluster.

    Raises
    ------
    ConfigError
        Another manager uses the directory, or it cannot be written.
    """

    def __init__(self, data: Path, out: Path, recipe: RankRecipe, *, jobs: int, backend: str = "loky") -> None:
        self._data, self._out, self._recipe = data, out, recipe
        self._jobs = jobs or (-1 if backend in CLUSTERS else os.cpu_count() or 1)
        self._backend = backend
        self._hashes = datasets.Hashes()
        self._done: dict[str, _Done] = {}  # what need not be trained again, files or not
        self._needs: dict[str, int] = {}  # the prior that each classifier's file is a delta to
        self._label = f"{recipe.trainer.label()}, recipe {recipe.digest}"
        try:
            out.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(out / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as e:
            raise ConfigError(
                f"cannot be written: {e.strerror or e}", where=str(out), remedy="check owner and permissions"
            ) from e
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            os.close(self._lock)
            raise ConfigError(
                "is used by another trainer", where=str(out), remedy="end that one, or name another directory"
            ) from e
        files.remove_leftovers(out)
        self._read_files()

    def close(self) -> None:
        """Give the directory free."""
        os.close(self._lock)

    def _read_files(self) -> None:
        for path in files.listed(self._out):
            with contextlib.suppress(ClassifierError):  # a damaged file is trained again
                found = files.read(path)
                if found.kind == "classifier":
                    name = path.name.removesuffix(files.SUFFIX)
                    self._done[name] = _Done(found.data, found.trainer, found.prior)
                    self._needs[name] = found.prior

    def round(
        self,
        *,
        tell: Callable[[str], None],
        started: Callable[[int], None],
        ended: Callable[[Outcome], None],
        stopping: Callable[[], bool] = lambda: False,
    ) -> Round:
        """Train what changed, and remove what ended.

        Parameters
        ----------
        tell
            Called with what goes on before the campaigns' turns.
        started, ended
            Called with the number of campaigns to train, and after each of them.
        stopping
            Asked after each campaign: whether to leave the others to the next round.

        Raises
        ------
        DataSetError
            The directory of data sets is absent.
        ConfigError
            A file cannot be written.
        """
        begin = time.perf_counter()
        found = Round()
        data_sets, bad = datasets.scan(self._data)
        self._hashes.forget(data_sets)
        found.unreadable = {name: str(e) for name, e in bad.items()}
        digests = self._digests([d for d in data_sets if d.files], found)  # without files, it has no examples yet
        self._remove_ended(data_sets, set(bad), found)
        readable = [d for d in data_sets if d.name in digests]
        shared = self._prepare(readable, digests, tell) if readable else Shared()
        found.prior = shared.version
        jobs = []
        for d in readable:
            want = _Done(digests[d.name], self._label, shared.version)
            if d.ended or not self._changed(d, want):
                found.current += not d.ended
                continue
            path = self._out / f"{d.name}{files.SUFFIX}"
            jobs.append(Job(d, want.data, path, self._label, self._counts(d)))
        started(len(jobs))
        for job, outcome in self._run(jobs, shared):
            self._note(job, outcome, shared, found)
            ended(outcome)
            if stopping() or outcome.status == "unwritten":
                break
        else:
            self._remove_priors(shared)
        found.seconds = time.perf_counter() - begin
        return found

    def _changed(self, data_set: DataSet, want: _Done) -> bool:
        """Whether to train a campaign: its data changed enough, or its recipe or prior changed at all."""
        done = self._done.get(data_set.name)
        if done is None or (done.trainer, done.prior) != (want.trainer, want.prior):
            return True
        if done.data == want.data:
            return False
        return done.counts is None or self._counts(data_set).grew(done.counts, self._recipe.data.retrain_growth)

    def _counts(self, data_set: DataSet) -> Counts:
        try:
            return self._hashes.counts(data_set)
        except DataSetError:
            return Counts(0, None)  # its turn will tell why

    def _digests(self, data_sets: Sequence[DataSet], found: Round) -> dict[str, bytes]:
        digests = {}
        for d in data_sets:
            try:
                digests[d.name] = self._hashes.of(d)
            except DataSetError as e:
                found.unreadable[d.name] = str(e)
        return digests

    def _prepare(self, readable: Sequence[DataSet], digests: dict[str, bytes], tell: Callable[[str], None]) -> Shared:
        whole = hashlib.sha256()
        for d in readable:
            whole.update(d.name.encode() + b"\0" + digests[d.name])
        now_ms = time.time_ns() // 1_000_000
        rows = sum(self._counts(d).rows for d in readable)
        return self._recipe.trainer.prepare(Pool(readable, whole.digest(), rows, self._recipe, self._out, now_ms, tell))

    def _note(self, job: Job, outcome: Outcome, shared: Shared, found: Round) -> None:
        name = job.data_set.name
        match outcome.status:
            case "trained":
                found.trained += 1
                found.rows += outcome.rows
                found.positives += outcome.positives
            case "too_small":
                found.too_small.append(name)
            case "unreadable":
                found.unreadable[name] = outcome.message
            case "failed" | "unwritten":
                found.failed[name] = outcome.message
        for warning in outcome.warnings:
            found.warnings[warning] = found.warnings.get(warning, 0) + 1
        if outcome.status == "trained":
            self._needs[name] = shared.version
        elif outcome.status == "too_small":
            self._needs.pop(name, None)
        if outcome.status in ("trained", "too_small", "failed"):
            self._done[name] = _Done(job.digest, self._label, shared.version, job.counts)

    def _run(self, jobs: Sequence[Job], shared: Shared) -> Iterator[tuple[Job, Outcome]]:
        """Train jobs on all cores, and yield each outcome as it comes."""
        if not jobs:
            return
        by_name = {job.data_set.name: job for job in jobs}
        if self._jobs == 1 or len(jobs) == 1:
            for job in jobs:
                yield job, train(job, self._recipe, shared)
            return
        from joblib import Parallel, delayed, parallel_config  # noqa: PLC0415 - only where it is used

        calls = [delayed(train)(job, self._recipe, shared) for job in jobs]
        with _backend(self._backend), parallel_config(backend=self._backend, n_jobs=self._jobs):
            if self._backend == "ray":  # it cannot yield what is done, so it is given some at a time
                for begin in range(0, len(calls), RAY_CALLS):
                    for outcome in Parallel(batch_size="auto")(calls[begin : begin + RAY_CALLS]):
                        yield by_name[outcome.name], outcome
                return
            outcomes = Parallel(return_as="generator_unordered", batch_size="auto", pre_dispatch="4*n_jobs")(calls)
            try:
                for outcome in outcomes:
                    yield by_name[outcome.name], outcome
            finally:
                outcomes.close()

    def _remove_ended(self, data_sets: Sequence[DataSet], bad: set[str], found: Round) -> None:
        """Remove classifiers of campaigns that have no data set any more, or are marked as ended."""
        active = {d.name for d in data_sets if not d.ended} | bad
        for path in files.listed(self._out):
            name = path.name.removesuffix(files.SUFFIX)
            if not path.name.startswith("prior.") and name not in active:
                path.unlink(missing_ok=True)
                found.removed.append(name)
                self._done.pop(name, None)
                self._needs.pop(name, None)

    def _remove_priors(self, shared: Shared) -> None:
        """Remove priors that no classifier's file is a delta to."""
        kept = {f"prior.{version}{files.SUFFIX}" for version in {shared.version, *self._needs.values()}}
        for path in files.priors(self._out):
            if path.name not in kept:
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def _backend(name: str) -> Iterator[None]:
    """Make joblib know the backend, and end what it started.

    Raises
    ------
    ConfigError
        The backend's package is not installed.
    """
    try:
        if name == "ray":
            import ray  # noqa: PLC0415
            from ray.util.joblib import register_ray  # noqa: PLC0415

            register_ray()
            address = os.environ.get("RAY_ADDRESS")
            with ray.init(address) if address else ray.init(include_dashboard=False):
                yield
        elif name == "dask":
            from distributed import Client  # noqa: PLC0415

            address = os.environ.get("DASK_SCHEDULER_ADDRESS")
            with Client(address) if address else Client(processes=True):
                yield
        else:
            yield
    except ImportError as e:
        raise ConfigError(
            f"needs a package that is not installed ({e.name})",
            where=f"--backend {name}",
            remedy=f"pip install '{EXTRAS.get(name, name)}', or choose loky",
        ) from e
