"""The function of the fresh process that executes one order and sends the answer.

An order names the workload, the implementation, the number of threads, and the action:

- `compare`: compares the implementation's answer with ours;
- `time`: measures the time of repeated execution, or counts the bytes of a workload of kind `stored`;
- `floor`: computes the floor of the workload with our rule at this machine's rates.
"""

from __future__ import annotations

import importlib
import os
import time
import warnings
from multiprocessing.connection import Connection
from typing import Any

import torch

from throughtime.errors import first_line
from throughtime.harness.clock import Clock
from throughtime.measuring import floor
from throughtime.measuring.live_bytes import LiveBytes
from throughtime.measuring.process_memory import keep_freed
from throughtime.measuring.timing import timed
from throughtime.measuring.yardstick import yardstick
from throughtime.peers.compare import difference
from throughtime.peers.job import PeerJob, Question, question
from throughtime.peers.workload import PEERS, Workload

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PJRT_NPROC")
"""Environment variables that set a library's number of threads; the last is that of XLA."""
WARM_UP, REPEATS, SECONDS = 1, (3, 20), 0.5
"""Calls after the first one that do not count, and samples of a process: as many as take SECONDS, within REPEATS."""


def answer(order: dict[str, Any]) -> dict[str, Any]:
    """Execute an order in this process, with the settings of a run's passes for all implementations."""
    torch.set_flush_denormal(True)
    keep_freed()
    work = Workload(**order["work"])
    problem = question(work)
    if order["do"] == "floor":
        return _floor(problem)
    peer = PEERS[order["implementation"]]
    if order["do"] == "compare":
        if peer.first_update:
            problem = question(work._replace(timed_steps=1))._replace(sequences=1)
        dtype = getattr(torch, peer.precision)
        ours, theirs = (problem.determined(_job(who, problem.to(dtype)).answer()) for who in ("ours", peer.module))
        return difference(ours, theirs)._asdict()
    job = _job(peer.module, problem.to(torch.float32))
    if work.does == "stored":
        with LiveBytes() as live:
            loss = job.loss()
            stored = live.current
        del loss  # with its graph, which was counted
        return {"samples": [stored], "first": None, "contended": False}
    return _timed(job, work.timed_steps or 1)


def _job(module: str, problem: Question) -> PeerJob:
    name, _, function = module.partition(":")
    return getattr(importlib.import_module(f"throughtime.peers.implementations.{name}"), function or "build")(problem)


def _timed(job: PeerJob, divisor: int) -> dict[str, Any]:
    start = time.perf_counter()
    job.once()
    first = time.perf_counter() - start
    timing = timed(job.once, Clock(), warm_up=WARM_UP, repeats=REPEATS, seconds=SECONDS)
    return {
        "samples": [sample / divisor for sample in timing.samples],
        "first": first,
        "median_of_all": timing.median,
        "contended": timing.contended,
    }


def _floor(problem: Question) -> dict[str, Any]:
    """Return the floor of our rule, with optimiser and traces where the workload learns."""
    work, batch = problem.work, problem.work.batch
    network = problem.to(torch.float32).network
    if work.does in ("forward", "evaluate"):
        needed = floor.forward_operations(network, batch, work.steps)
    else:
        rule, steps = problem.rule(), work.timed_steps or work.steps
        rule.start(network, problem.task, steps)
        needed = floor.operations(rule, network, problem.training, batch, steps)
    rates = yardstick(needed.products, [stream.array for stream in needed.streams])
    return {"floor": needed.seconds(rates) / (work.timed_steps or 1), "contended": rates.contended}


def main(order: dict[str, Any], sender: Connection) -> None:
    """Execute an order; send the answer, or the exception as `failed`. The output of libraries is discarded."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.environ.update({"JAX_PLATFORMS": "cpu"} | dict.fromkeys(THREADS, str(order["threads"])))
    torch.set_num_threads(order["threads"])
    warnings.simplefilter("ignore")  # warnings of the libraries
    try:
        sender.send(answer(order))
    except Exception as error:
        sender.send({"failed": f"{type(error).__name__}: {first_line(error)}"})
