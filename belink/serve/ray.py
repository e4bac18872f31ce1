"""A corpus in shards, linked on a Ray cluster: Ray Data gives each core or GPU a worker, which holds the linkers.

Needs ``pip install 'belink[ray]'`` here and on all machines of the cluster, which must see the same files. Which shard
goes where, and that one of a worker that died is done again, is Ray's business; what a shard is, and when it is
finished, is that of :mod:`belink.linker.shards`.
"""

import logging
import os
import socket
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext

from belink.errors import BelinkError, first_line
from belink.linker.group import LinkerGroup
from belink.linker.linker import Linker
from belink.linker.shards import Shard, ShardOptions, ShardResult, link_shard
from belink.registry.open import open_linkers
from belink.settings import Settings

# Of a shard whose worker dies. Ray also kills workers that are not at fault, where a machine is short of memory.
_TRIES = 10
_SECONDS_TO_ANSWER = 10


class _Worker:
    """Links shards; Ray makes one for each core or GPU, and hands it one shard after the other."""

    def __init__(self, settings: Settings, linkers: str, options: ShardOptions) -> None:
        self._settings, self._linkers, self._options = settings, linkers, options
        self._loaded: Linker | LinkerGroup | None = None

    def __call__(self, row: dict[str, str]) -> dict[str, Any]:
        """Return the fields of the shard's result, and in ``fatal`` what would meet every other shard, too."""
        shard = Shard(**{name: Path(path) for name, path in row.items()})
        try:
            # Loaded here and not in __init__, where an error would be Ray's and not one line.
            if self._loaded is None:
                self._loaded = open_linkers(self._settings, self._linkers, nested=self._options.nested)
            return {**asdict(link_shard(self._loaded, shard, self._options)), "fatal": ""}
        except (BelinkError, OSError) as error:
            return {**asdict(ShardResult(input=str(shard.input))), "fatal": f"{type(error).__name__}: {error}"}


def link_shards(
    settings: Settings,
    loaded: Linker | LinkerGroup,
    shards: Sequence[Shard],
    options: ShardOptions,
    *,
    address: str | None = None,
) -> Iterator[ShardResult]:
    """Yield the result of each shard as it is done, in any order.

    :param settings: of this machine; workers read the registry and the home that it names.
    :param loaded: the linkers; workers open the same versions, wherever aliases move meanwhile.
    :param address: of the cluster; ``None`` takes ``RAY_ADDRESS``, else the cores of this machine.
    :raises BelinkError: there is no such cluster, or a worker cannot work at all.
    """
    # Ray prints what happens to workers to standard output, which belongs to the answer.
    with redirect_stdout(sys.stderr), _cluster(address):
        dataset = _dataset(settings, _pinned(loaded), shards, options)
        remaining = {str(shard.input) for shard in shards}
        for row in dataset.iter_rows():
            fatal = row.pop("fatal")
            if fatal:
                raise BelinkError(f"{row['input']}: a worker could not go on: {fatal}; finished shards are kept")
            remaining.discard(row["input"])
            yield ShardResult(**row)
    for name in sorted(remaining):
        error = f"{name}: expected links, found a worker that died {_TRIES} times; is memory short? Ray's log says more"
        yield ShardResult(input=name, error=error)


def _dataset(settings: Settings, linkers: str, shards: Sequence[Shard], options: ShardOptions) -> Any:
    """Return the shards' results as a data set, which works while it is read."""
    with warnings.catch_warnings():
        # Ray will take `max_task_retries` away in 2.64; pyproject.toml stays below.
        warnings.filterwarnings("ignore", message=".*ray_remote_args")
        return ray.data.from_items([_row(shard) for shard in shards], override_num_blocks=len(shards)).map(
            _Worker,
            fn_constructor_kwargs={
                # Workers answer nobody and fetch no ontology.
                "settings": replace(settings, uts_api_key=None, serve_token=None),
                "linkers": linkers,
                "options": options,
            },
            # With more than one in flight, shards would wait behind a long one while other workers are idle.
            compute=ActorPoolStrategy(size=_n_workers(len(shards)), max_tasks_in_flight_per_actor=1),
            max_task_retries=_TRIES - 1,
            **_each_worker(),
        )


def _row(shard: Shard) -> dict[str, str]:
    return {name: str(path) for name, path in asdict(shard).items()}


def _pinned(loaded: Linker | LinkerGroup) -> str:
    """Return the references of the linkers with their versions in place of aliases."""
    linkers = [loaded] if isinstance(loaded, Linker) else loaded.linkers
    return ",".join(f"{linker.declaration.name}@{linker.lineage['model_version']}" for linker in linkers)


def _each_worker() -> Mapping[str, int]:
    """Return what a worker takes of the cluster: a GPU where it has any, else a core."""
    return {"num_gpus": 1} if ray.cluster_resources().get("GPU", 0) >= 1 else {"num_cpus": 1}


def _n_workers(n_shards: int) -> int:
    resources = ray.cluster_resources()
    return max(1, min(n_shards, int(resources.get("GPU", 0)) or int(resources.get("CPU", 1))))


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Connect to a cluster within the block; one that the caller has connected to is left as it is."""
    context = DataContext.get_current()
    context.enable_progress_bars = False  # belink counts shards
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1  # half an hour by default, which a large shard may take
    context.max_errored_blocks = -1  # a shard that kills its workers must not end the others
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports its use to its makers unless told not to
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # of Ray's own statistics, when a worker is killed
    # Without an address Ray takes the cluster that was started here last, even one that is gone.
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _check_listening(address)
    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise BelinkError(
            f"{address}: expected a Ray cluster, found none: {first_line(error)}; "
            "where the cluster asks for a token, set RAY_AUTH_MODE=token"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_listening(address: str | None) -> None:
    """Check that something listens at ``HOST:PORT``: Ray waits a minute for it, then ends the process.

    :raises BelinkError: nothing does.
    """
    host, _, port = (address or "").rpartition(":")
    if not host or "/" in host or not port.isdigit():
        return  # "auto", "local" or ray://HOST:PORT, which answer with an exception
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise BelinkError(
            f"{address}: expected a Ray cluster, found none: {error}; its head prints the address to give"
        ) from error
