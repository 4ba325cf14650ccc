"""Datasets with one fault each: the fact that must find it does, and holds for the dataset without the fault."""

from __future__ import annotations

import os

import pytest
import torch

from tests.checks.test_checks import Twin, assert_found_out, title
from throughtime.datasets.adding import Adding
from throughtime.datasets.arrays import ArrayDataset, Arrays
from throughtime.datasets.base import Batch
from throughtime.datasets.task import Classification, Regression


class Toy(ArrayDataset):
    """A number, a class, in 3 steps; with the digest of raw data. Sound; base of the twins."""

    inputs, outputs, steps, task = 1, 4, 3, Classification(4)
    splits = torch.arange(60).split([30, 15, 15])

    @classmethod
    def tiny(cls):
        return cls()

    def load(self):
        random = torch.Generator().manual_seed(2)
        x = torch.rand(60, self.steps, 1, generator=random)
        target = torch.randint(4, (60,), generator=random)
        return Arrays(x, target, dict(zip(("train", "validation", "test"), self.splits, strict=True)), "ab" * 32)

    def changed(self, split, batch: Batch) -> Batch:
        return batch

    def batches(self, split, batch, generator=None):
        for sample in super().batches(split, batch, generator):
            yield self.changed(split, sample)


class Numbers(Toy):
    """A target in real numbers."""

    task = Regression(1.0)

    def load(self):
        loaded = super().load()
        return loaded._replace(target=loaded.x[:, 0].repeat(1, 4))


# --- sequences and targets


class Double(Toy):
    def changed(self, split, batch):
        return Batch(batch.x.double(), batch.target)


class BatchFirst(Toy):
    def changed(self, split, batch):
        return Batch(batch.x.transpose(0, 1), batch.target)


class HasNaN(Toy):
    def changed(self, split, batch):
        return Batch(batch.x.log().sqrt(), batch.target)


class OneClassTooMany(Toy):
    task = Classification(3)
    outputs = 3


class WiderThanItsClasses(Toy):
    outputs = 5


class ClassesInFloat(Toy):
    def changed(self, split, batch):
        return Batch(batch.x, batch.target.float())


class ClassesFromMinusOne(Toy):
    def changed(self, split, batch):
        return Batch(batch.x, batch.target - 1)


class TargetsOfHalf(Numbers):
    def changed(self, split, batch):
        return Batch(batch.x, batch.target.half())


class TargetsOfOneNumber(Numbers):
    def changed(self, split, batch):
        return Batch(batch.x, batch.target[:, 0])


class AllAtOnce(Toy):
    def batches(self, split, batch, generator=None):
        return super().batches(split, 1000, generator)


# --- splits


class DropsTheLastBatch(Toy):
    def batches(self, split, batch, generator=None):
        return (sample for sample in super().batches(split, batch, generator) if sample.x.shape[1] == batch)


class SaysMore(Toy):
    def size(self, split):
        return super().size(split) + (split == "train")


class HasNoValidation(Toy):
    splits = torch.arange(60).split([45, 0, 15])


class EndOfTrainIsTest(Toy):
    splits = (torch.arange(30), torch.arange(30, 45), torch.arange(29, 44))


class EndOfTrainIsValidation(Toy):
    splits = (torch.arange(30), torch.arange(29, 44), torch.arange(45, 60))


class StatesRepeats(Toy):
    """Sound: two of its fifteen test sequences repeat others."""

    repeated = 0.14
    splits = (torch.arange(30), torch.arange(30, 45), torch.tensor([*range(45, 58), 45, 46]))


class RepeatsMore(StatesRepeats):
    splits = (torch.arange(30), torch.arange(30, 45), torch.tensor([*range(45, 57), 45, 46, 47]))


class StatesNone(StatesRepeats):
    repeated = 0.0


# --- random and fixed parts


class Unseeded(Toy):
    def batches(self, split, batch, generator=None):
        shuffled = None if generator is None else torch.Generator().manual_seed(int.from_bytes(os.urandom(4), "big"))
        return super().batches(split, batch, shuffled)


class UnseededWithoutGenerator(Adding):
    """Without a generator each draw is another."""

    @classmethod
    def tiny(cls):
        return cls(steps=6, sequences=20, held_out=8)

    def batches(self, split, batch, generator=None):
        if split == "train" and generator is None:
            generator = torch.Generator().manual_seed(int.from_bytes(os.urandom(4), "big"))
        return super().batches(split, batch, generator)


class SmallAdding(Adding):
    """Sound."""

    @classmethod
    def tiny(cls):
        return cls(steps=6, sequences=20, held_out=8)


class ChangesFromBuildToBuild(Toy):
    def load(self):
        loaded = super().load()
        return loaded._replace(x=loaded.x + int.from_bytes(os.urandom(4), "big") / 2**32)


class NeverShuffles(Toy):
    def batches(self, split, batch, generator=None):
        return super().batches(split, batch)


class TearsPairs(Toy):
    """Sequences are shuffled, their targets are not."""

    def batches(self, split, batch, generator=None):
        in_order = super().batches(split, batch)
        return (Batch(a.x, b.target) for a, b in zip(super().batches(split, batch, generator), in_order, strict=True))


class TearsTrainingPairs(TearsPairs):
    def batches(self, split, batch, generator=None):
        return super().batches(split, batch, generator if split == "train" else None)


class SeedsTorch(Toy):
    def load(self):
        torch.manual_seed(2)
        return super().load()


class HeldOutIsDrawn(SmallAdding):
    """The generator draws another test set each epoch."""

    def batches(self, split, batch, generator=None):
        if split == "test" and generator is not None:
            yield Batch(*self.draw(self.held_out, generator))
            return
        yield from super().batches(split, batch, generator)


class HeldOutGoesOn(SmallAdding):
    """Each pass over the test split draws new sequences."""

    looks = 0

    def batches(self, split, batch, generator=None):
        for sample in super().batches(split, batch, generator):
            self.looks += split == "test"
            yield Batch(sample.x + 1e-3 * self.looks, sample.target)


class HeldOutTargetsGoOn(SmallAdding):
    """A generator changes the targets of the validation split alone."""

    def batches(self, split, batch, generator=None):
        for sample in super().batches(split, batch, generator):
            yield Batch(sample.x, sample.target + (split == "validation" and generator is not None))


class HeldOutByBatch(SmallAdding):
    """Test sequences are drawn batch by batch: how many make a batch changes them."""

    def batches(self, split, batch, generator=None):
        if split != "test":
            yield from super().batches(split, batch, generator)
            return
        fixed = torch.Generator().manual_seed(5)
        for start in range(0, self.held_out, batch):
            yield Batch(*self.draw(min(batch, self.held_out - start), fixed))


class DigestOfTheMoment(Toy):
    def sha256(self):
        return os.urandom(32).hex()


class DigestIsShort(Toy):
    def sha256(self):
        return "ab" * 16


class DigestNowAndThen(Toy):
    looks = 0

    def sha256(self):
        type(self).looks += 1
        return None if self.looks % 2 else super().sha256()


FORMED, SIZES, SEED = (
    "sequences and targets are well formed",
    "splits have their stated sizes",
    "same seed, same batches",
)
REPEATS = "sequences repeat no more often than stated"
FIXED, SPLITS, DIGEST = (
    "held-out sequences are always the same",
    "no sequence is in two splits",
    "digest of the raw data",
)
TWINS = [
    Twin(FORMED, Double, Toy),
    Twin(FORMED, BatchFirst, Toy),
    Twin(FORMED, HasNaN, Toy),
    Twin(FORMED, OneClassTooMany, Toy),
    Twin(FORMED, WiderThanItsClasses, Toy),
    Twin(FORMED, ClassesInFloat, Toy),
    Twin(FORMED, ClassesFromMinusOne, Toy),
    Twin(FORMED, TargetsOfHalf, Numbers),
    Twin(FORMED, TargetsOfOneNumber, Numbers),
    Twin(FORMED, AllAtOnce, Toy),
    Twin(SIZES, DropsTheLastBatch, Toy),
    Twin(SIZES, SaysMore, Toy),
    Twin(SIZES, HasNoValidation, Toy),
    Twin(SEED, Unseeded, Toy),
    Twin(SEED, UnseededWithoutGenerator, SmallAdding),
    Twin(SEED, ChangesFromBuildToBuild, Toy),
    Twin("another seed, another order of training", NeverShuffles, Toy),
    Twin("a sequence keeps its target", TearsPairs, Toy),
    Twin("a sequence keeps its target", TearsTrainingPairs, Toy),
    Twin("torch's own random numbers are not seeded", SeedsTorch, Toy),
    Twin(FIXED, HeldOutIsDrawn, SmallAdding),
    Twin(FIXED, HeldOutGoesOn, SmallAdding),
    Twin(FIXED, HeldOutTargetsGoOn, SmallAdding),
    Twin(FIXED, HeldOutByBatch, SmallAdding),
    Twin(SPLITS, EndOfTrainIsTest, Toy),
    Twin(SPLITS, EndOfTrainIsValidation, Toy),
    Twin(REPEATS, RepeatsMore, StatesRepeats),
    Twin(REPEATS, StatesNone, StatesRepeats),
    Twin(DIGEST, DigestOfTheMoment, Toy),
    Twin(DIGEST, DigestIsShort, Toy),
    Twin(DIGEST, DigestNowAndThen, Toy),
]


@pytest.mark.parametrize("twin", TWINS, ids=title)
def test_the_fact_finds_the_fault(twin, monkeypatch):
    assert_found_out("datasets", twin, monkeypatch)
