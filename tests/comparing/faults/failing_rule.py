"""FPTT that raises."""

from throughtime.algorithms.fptt import FPTT


def learn(self, *window):
    raise RuntimeError("no gradient today")


FPTT.learn = learn
