"""A figure of a dataset: one training sequence, and the distribution of the targets in each split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from throughtime.datasets.arrays import ArrayDataset
from throughtime.datasets.base import Dataset, Split
from throughtime.datasets.detection.boxes import CLASS, PLACE, corners, is_box
from throughtime.datasets.detection.task import Detection
from throughtime.datasets.prepared import SPLITS
from throughtime.datasets.task import Classification, MultiLabel, Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

FRAMES = 8  # number of frames drawn of a sequence of images
TRACES = 8  # inputs that are drawn as lines; more are drawn as an image


def draw(name: str, dataset: Dataset) -> Figure:
    """Draw the first training sequence above, and the targets of all splits below."""
    from matplotlib.figure import Figure

    batch, per_step = next(dataset.batches("train", 1)), dataset.task.per_step
    x, target = batch.x[:, 0].numpy(), batch.target[:, 0] if per_step else batch.target[0]
    shown = "" if per_step else f", target {_as_text(target, dataset)}"
    figure = Figure(figsize=(9, 6.5), dpi=120, layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[3, 2])[:, 0]
    above.suptitle(
        f"{name}: a training sequence of {dataset.steps} steps x {dataset.inputs} inputs{shown}", fontsize=11
    )
    if dataset.layout is None:
        _over_time(above, x, target if per_step else None, dataset)
    else:
        panels = _pictures(above, x.reshape(len(x), *dataset.layout))
        if isinstance(dataset.task, Detection):
            _boxes(panels, target[is_box(target)], dataset.task.classes, dataset.layout[-1])
    _targets(below.subplots(), {split: targets(dataset, split) for split in SPLITS}, dataset)
    return figure


def targets(dataset: Dataset, split: Split) -> Tensor:
    """Return the targets of a split, without unlabelled steps: [n] classes or [n, outputs] numbers."""
    if isinstance(dataset, ArrayDataset) and type(dataset).batches is ArrayDataset.batches:
        parts: Iterable[Tensor] = [dataset.arrays.target.index_select(0, dataset.arrays.splits[split])]
    else:  # the arrays do not hold the targets
        parts = (batch.target for batch in dataset.batches(split, dataset.evaluation_batch))
    return torch.cat([_labelled(part, dataset.task) for part in parts])


def _labelled(target: Tensor, task: Task) -> Tensor:
    """Return the targets with a label, [n] classes (of boxes, if the task is detection) or [n, outputs] numbers."""
    if isinstance(task, Detection):
        return target[is_box(target)][:, CLASS].long()
    if target.is_floating_point():
        rows = target.flatten(0, -2)
        return rows[rows.isfinite().all(1)]
    return target[target >= 0].long()


def _as_text(target: Tensor, dataset: Dataset) -> str:
    if isinstance(dataset.task, Detection):
        return f"{int(is_box(target).sum())} boxes"
    return (
        str(int(target)) if not target.is_floating_point() else ", ".join(f"{value:.3g}" for value in target.tolist())
    )


def _over_time(figure: SubFigure, x: np.ndarray, target: Tensor | None, dataset: Dataset) -> None:
    """Plot the inputs against time, as lines or as an image, and below them the target of each step."""
    rows = 1 if target is None else 2
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=[4, 1][:rows])[:, 0]
    if x.shape[1] <= TRACES:
        span = float(x.max() - x.min()) or 1.0
        for i, trace in enumerate(x.T):
            axes[0].plot(trace / span - 1.2 * i, drawstyle="steps-mid", linewidth=0.8)
        axes[0].set_yticks([-1.2 * i for i in range(x.shape[1])], [f"input {i}" for i in range(x.shape[1])])
    else:
        axes[0].imshow(x.T, aspect="auto", origin="lower", cmap="Greys", interpolation="none")
        axes[0].set_ylabel("input")
    if target is not None and target.is_floating_point() and target.shape[1] > TRACES:
        axes[1].imshow(target.numpy().T, aspect="auto", origin="lower", cmap="Greys", interpolation="none")
        axes[1].set_ylabel("target")
    elif target is not None and target.is_floating_point():
        axes[1].plot(target.numpy(), linewidth=1)
        axes[1].set_ylabel("target")
    elif target is not None:
        shown = np.ma.masked_less(target.numpy()[None, :], 0)
        axes[1].imshow(
            shown, aspect="auto", cmap="tab10", interpolation="none", vmin=0, vmax=max(9, dataset.outputs - 1)
        )
        axes[1].set_yticks([])
        axes[1].set_ylabel("class\n(white: none)", fontsize=8)
    axes[-1].set_xlabel("step")


def _pictures(figure: SubFigure, x: np.ndarray) -> list[Axes]:
    """Draw some frames of a sequence: one channel in grey, two polarities in red and blue, three channels as colours;
    return their panels."""
    chosen = np.unique(np.linspace(0, len(x) - 1, FRAMES).round().astype(int))
    if (x == x[0]).all():
        chosen = chosen[:1]  # a constant image
    top = float(x[chosen].max()) or 1.0
    rows = 2 if len(chosen) == FRAMES else 1
    panels = list(figure.subplots(rows, len(chosen) // rows, squeeze=False).flat)
    for ax, t in zip(panels, chosen, strict=True):
        picture = x[t] / top
        if len(picture) == 2:
            off, on = picture
            ax.imshow(np.stack([1 - off, 1 - np.maximum(on, off), 1 - on], axis=2), interpolation="none")
        elif len(picture) == 3:
            ax.imshow(x[t].transpose(1, 2, 0), interpolation="none")
        else:
            ax.imshow(picture[0], cmap="Greys", vmin=0, vmax=1, interpolation="none")
        ax.set_title(f"step {t}" if len(chosen) > 1 else "every step", fontsize=8)
        ax.set_xticks([])
        ax.set_yticks([])
    return panels


def _boxes(panels: list[Axes], boxes: Tensor, classes: Sequence[str], side: int) -> None:
    """Draw boxes [k, 6] with the names of their classes on images of `side` pixels."""
    from matplotlib.patches import Rectangle

    for ax in panels:
        for box, (left, top, right, bottom) in zip(boxes, (side * corners(boxes[:, PLACE])).tolist(), strict=True):
            kind = int(box[CLASS])
            ax.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=f"C{kind}"))
            ax.text(left, top, classes[kind], fontsize=6, color=f"C{kind}", va="bottom")


def _targets(ax: Axes, by_split: dict[Split, Tensor], dataset: Dataset) -> None:
    """Draw the share of each class as bars, or the distribution of numeric targets as a histogram."""
    if isinstance(dataset.task, Classification | Detection):
        classes = len(dataset.task.classes) if isinstance(dataset.task, Detection) else dataset.outputs
        for i, (split, labels) in enumerate(by_split.items()):
            count = torch.bincount(labels, minlength=classes)
            place = np.arange(len(count)) + 0.27 * (i - 1)
            ax.bar(place, (count / count.sum()).numpy(), width=0.25, label=f"{split} ({int(count.sum())})")
        if isinstance(dataset.task, Detection):
            ax.set_xticks(np.arange(classes), dataset.task.classes)
        else:
            ax.locator_params(axis="x", integer=True)
        ax.set_xlabel("class")
        ax.set_ylabel("share of the labels")
    elif isinstance(dataset.task, MultiLabel):
        for split, values in by_split.items():
            ax.step(range(dataset.outputs), values.mean(0).numpy(), where="mid", label=f"{split} ({len(values)})")
        ax.set_xlabel("label")
        ax.set_ylabel("frequency")
    else:
        for split, values in by_split.items():
            ax.hist(values.flatten().numpy(), bins=40, density=True, histtype="step", label=f"{split} ({len(values)})")
        ax.set_xlabel("target")
        ax.set_ylabel("density")
    ax.legend(frameon=False, fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))  # above the bars
