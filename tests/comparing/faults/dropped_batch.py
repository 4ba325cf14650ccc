"""A training split without its last batch."""

from throughtime.datasets.arrays import ArrayDataset

right = ArrayDataset.batches


def batches(self, split, *others, **named):
    result = list(right(self, split, *others, **named))
    yield from result[:-1] if split == "train" else result


ArrayDataset.batches = batches
