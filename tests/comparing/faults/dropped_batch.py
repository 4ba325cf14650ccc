"""A training split without its last batch."""

from throughtime.datasets.arrays import ArrayDataset

right = ArrayDataset.batches


def batches(self, split, *others, **named):
    found = list(right(self, split, *others, **named))
    yield from found[:-1] if split == "train" else found


ArrayDataset.batches = batches
