"""Facts of datasets, evaluated on their tiny variants in seconds and without a network."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Protocol, cast

import torch
from torch import Tensor

from throughtime.checks.contract.contents import (
    Splits,
    gives_labels_away,
    missing_classes,
    off_chance,
    scaled_by_others,
)
from throughtime.checks.contract.processes import differs_elsewhere
from throughtime.checks.contract.raw_files import digest_covers, shaped_by_test
from throughtime.checks.fact import DoesNotApplyError, Fact, Observed
from throughtime.checks.tiny import seeded
from throughtime.datasets.base import Dataset, Split
from throughtime.datasets.batch import PARTS, Batch
from throughtime.datasets.overlap import hashes, repeated
from throughtime.datasets.prepared import SPLITS
from throughtime.datasets.task import Classification, MultiLabel, Regression, Task
from throughtime.numerics.trees import Tree, mapped, tensors
from throughtime.registry import Component

BATCH = 7


class WithTiny(Protocol):
    """A dataset class with this method; the registry types all factories as functions."""

    def tiny(self) -> Dataset: ...


def tiny(component: Component) -> Dataset:
    """Return the tiny variant of a dataset."""
    return cast("WithTiny", component.factory).tiny()


def drawn(dataset: Dataset, split: Split, seed: int | None = 1, batch: int = BATCH) -> list[Batch]:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return list(dataset.batches(split, batch, generator))


def well_formed(component: Component) -> Observed:
    """Count faults: x must be [steps, batch, inputs], float32 and finite, and targets must fit the task, one for each
    sequence or step."""
    dataset, faults = tiny(component), []
    for split in SPLITS:
        for batch in drawn(dataset, split):
            for x in tensors(batch.x):
                if x.shape[:2] != (dataset.steps, batch.sequences) or x.dtype != torch.float32:
                    faults.append(f"x is {list(x.shape)} {x.dtype}")
                if not x.isfinite().all():
                    faults.append("x is not finite")
            if isinstance(batch.x, Tensor) and batch.x.shape[2:] != (dataset.inputs,):
                faults.append(f"x is {list(batch.x.shape)} where there are {dataset.inputs} inputs")
            if batch.sequences > BATCH:
                faults.append(f"a batch of {batch.sequences} where {BATCH} at most were asked for")
            if batch.per_step != dataset.task.per_step:
                faults.append("batch and task differ in whether there is a target at every step")
            elif not _fits(dataset, batch):
                faults.append(f"target is {_described(batch.target)}")
    return Observed(len(faults), "; ".join(dict.fromkeys(faults)))


def _fits(dataset: Dataset, batch: Batch) -> bool:
    """Return whether a batch's target fits the dataset's task and has any label."""
    task, target = dataset.task, batch.target
    leading = (dataset.steps, batch.sequences) if task.per_step else (batch.sequences,)
    if isinstance(task, Classification):
        if not isinstance(target, Tensor) or target.shape != leading or target.dtype != torch.int64:
            return False
        lowest = -1 if task.per_step else 0
        in_range = int(target.min()) >= lowest and int(target.max()) < task.classes == dataset.outputs
        return in_range and int(target.max()) >= 0
    if isinstance(task, Regression):
        if not isinstance(target, Tensor) or target.dtype != torch.float32:
            return False
        labels = target[~target.isnan()] if task.per_step else target
        return target.shape == (*leading, dataset.outputs) and bool(labels.isfinite().all()) and labels.numel() > 0
    if isinstance(task, MultiLabel):
        if not isinstance(target, Tensor) or target.shape != (*leading, dataset.outputs) or target.isnan().all():
            return False
        return bool(((target == 0) | (target == 1) | (target.isnan() & task.per_step)).all())
    # A user's task: only the number of its targets is known.
    shapes: list[tuple[int, ...]] = []
    mapped(lambda part: shapes.append(_leading(part, len(leading))), target, PARTS)
    return set(shapes) == {leading}


def _leading(part: Tensor | list, dimensions: int) -> tuple[int, ...]:
    """Return the first dimensions of a target's part: a list has an entry per sequence, or a list of these per step."""
    if isinstance(part, Tensor):
        return tuple(part.shape[:dimensions])
    return (len(part),) if dimensions == 1 else (len(part), *{len(step) for step in part})


def _described(target: Tree) -> str:
    """Return shapes, types and ranges of a target's tensors."""
    parts = tensors(target)
    return ", ".join(f"{list(t.shape)} {t.dtype}, {t.min():g} ... {t.max():g}" if t.numel() else "empty" for t in parts)


def sizes(component: Component) -> Observed:
    """Count sequences by which the sizes of splits are wrong, and empty splits."""
    dataset = tiny(component)
    off = {split: abs(sum(b.sequences for b in drawn(dataset, split)) - dataset.size(split)) for split in SPLITS}
    empty = [split for split in SPLITS if dataset.size(split) == 0]
    return Observed(sum(off.values()) + len(empty), ", ".join(f"{split} {dataset.size(split)}" for split in SPLITS))


def repeats(component: Component) -> Observed:
    """Count splits that differ between two datasets with the same seed, or with no generator."""
    first, second, moved = tiny(component), tiny(component), []
    for split in SPLITS:
        for seed, said in ((1, ""), (None, " without a generator")):
            if not _same(drawn(first, split, seed), drawn(second, split, seed)):
                moved.append(split + said)
    return Observed(len(moved), ", ".join(moved))


def shuffles(component: Component) -> Observed:
    """Return 1 if training sequences have the same order with another seed, else 0."""
    dataset = tiny(component)
    return Observed(float(_same(drawn(dataset, "train", 1), drawn(dataset, "train", 2))))


def keeps_pairs(component: Component) -> Observed:
    """Count seeds and splits with the same sequences as without a generator, but with other targets."""
    dataset, torn = tiny(component), []
    for split in SPLITS:
        in_order = drawn(dataset, split, None)
        for seed in (1, 2):
            batches = drawn(dataset, split, seed)
            if _bag(batches) == _bag(in_order) and _pairs(batches) != _pairs(in_order):
                torn.append(f"{split}, seed {seed}")
    return Observed(len(torn), "; ".join(torn))


def random_numbers(component: Component) -> Observed:
    """Return 1 if torch's random numbers afterwards do not depend on the seed before: the dataset then seeds torch."""
    after = []
    for seed in (1, 2):
        with seeded(seed):
            dataset = tiny(component)
            for split in SPLITS:
                drawn(dataset, split)
            after.append(torch.rand(4))
    return Observed(float(torch.equal(*after)))


def held_out_fixed(component: Component) -> Observed:
    """Count validation and test splits that depend on generator, batch size or earlier random numbers."""
    dataset, moved = tiny(component), []
    for split in ("validation", "test"):
        first = drawn(dataset, split, None)
        drawn(dataset, "train", 3)
        others = drawn(dataset, split, 2), drawn(dataset, split, None, batch=3)
        if not _same(first, drawn(dataset, split, None)) or any(_pairs(first) != _pairs(other) for other in others):
            moved.append(split)
    return Observed(len(moved), ", ".join(moved))


def disjoint(component: Component) -> Observed:
    """Count sequences that are in two splits, by comparison of all values."""
    dataset = tiny(component)
    bags = {split: set(_bag(drawn(dataset, split))) for split in SPLITS}
    shared = {f"{first} and {second}": len(bags[first] & bags[second]) for first, second in combinations(SPLITS, 2)}
    return Observed(sum(shared.values()), ", ".join(f"{n} in {both}" for both, n in shared.items() if n))


def repeated_beyond_statement(component: Component) -> Observed:
    """Return the largest share of a split's sequences that repeat an earlier one, beyond the share that the dataset
    states."""
    dataset = tiny(component)
    if (stated := dataset.repeated) is None:
        raise DoesNotApplyError("it states no share of repeated sequences")
    shares = {split: n / total for split, (n, total) in repeated(hashes(dataset)).items()}
    beyond = {split: share for split, share in shares.items() if share > stated}
    note = ", ".join(f"{split} {share:.3g}, stated {stated:g}" for split, share in beyond.items())
    return Observed(max((share - stated for share in beyond.values()), default=0.0), note)


def digest(component: Component) -> Observed:
    """Return 1 if the SHA-256 of the raw data differs between two calls or is malformed, else 0."""
    first, second = tiny(component).sha256(), tiny(component).sha256()
    if first is None and second is None:
        raise DoesNotApplyError("generated: its source is its code")
    return Observed(float(first != second or len(str(first)) != 64), str(first)[:12])


def _same(first: list[Batch], second: list[Batch]) -> bool:
    """Return whether batches are equal byte by byte: NaN, which marks missing labels, is not equal to itself."""
    return list(map(_bytes, first)) == list(map(_bytes, second))


def _bag(batches: list[Batch]) -> list[bytes]:
    """Return the sequences without their order."""
    return sorted(_bytes(sequence.x) for batch in batches for sequence in batch.singles())


def _pairs(batches: list[Batch]) -> list[bytes]:
    """Return the sequences without their order, each with its target."""
    return sorted(_bytes(sequence) for batch in batches for sequence in batch.singles())


def _bytes(tree: Tree) -> bytes:
    return b"".join(tensor.contiguous().numpy().tobytes() for tensor in tensors(tree))


def on_contents(find: Callable[[Task, Splits], Observed]) -> Callable[[Component], Observed]:
    """Return a fact's function of the task and of the batches of all splits."""

    def over_splits(component: Component) -> Observed:
        dataset = tiny(component)
        splits = {split: drawn(dataset, split, None) for split in SPLITS}
        if not all(isinstance(batch.x, Tensor) for batches in splits.values() for batch in batches):
            raise DoesNotApplyError("its inputs are a tree")
        return find(dataset.task, splits)

    return over_splits


def facts(component: Component) -> tuple[Fact, ...]:
    """Return the facts of a dataset."""
    return (
        Fact("sequences and targets are well formed", 0, well_formed),
        Fact("splits have their stated sizes", 0, sizes),
        Fact("same seed, same batches", 0, repeats),
        Fact("another seed, another order of training", 0, shuffles),
        Fact("a sequence keeps its target", 0, keeps_pairs),
        Fact("torch's own random numbers are not seeded", 0, random_numbers),
        Fact("held-out sequences are always the same", 0, held_out_fixed),
        Fact("no sequence is in two splits", 0, disjoint),
        Fact("sequences repeat no more often than stated", 0, repeated_beyond_statement),
        Fact("digest of the raw data", 0, digest),
        Fact("digest changes with the content of each file", 0, digest_covers),
        Fact("another process loads the same data", 0, differs_elsewhere),
        Fact("every class occurs in every split", 0, on_contents(missing_classes)),
        Fact("chance is that of a constant prediction", 5, on_contents(off_chance)),
        Fact("inputs are scaled by the training split alone", 0, on_contents(scaled_by_others)),
        Fact("training data do not depend on test files", 0, shaped_by_test),
        Fact("no single input predicts the labels", 1, on_contents(gives_labels_away)),
    )
