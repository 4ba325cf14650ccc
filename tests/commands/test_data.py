"""`throughtime data`: ls, fetch, verify and show, from folders made by the tests; no test uses the network."""

import io
import json
import shutil
import sys

import numpy as np
import pytest
import requests
from matplotlib.image import imread

from throughtime.commands.main import main
from throughtime.datasets.files import cache, fetch
from throughtime.datasets.mnist_files import synthetic_images
from throughtime.datasets.npz_folder import NpzFolder, made_folder
from throughtime.errors import UsageError
from throughtime.registry import DATASETS
from throughtime.running.progress import PlainProgress, preparing


@pytest.fixture(autouse=True)
def isolated(tmp_path, monkeypatch):
    """An empty working folder, source and cache, and mirrors that cannot be reached."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(fetch.DATA, "")
    monkeypatch.setenv(fetch.CACHE, str(tmp_path / "cache"))

    def refuse(url, output_file, pooch):
        raise requests.ConnectionError("nobody there")

    monkeypatch.setattr(fetch, "downloader", lambda: refuse)


@pytest.fixture
def data(capsys):
    """Run `throughtime data ...`; return exit code, stdout and stderr."""

    def run(*arguments):
        code = main(["data", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_ls_names_all_with_licence_and_whereabouts(data, tmp_path):
    code, out, _ = data("ls", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0 and set(rows) == set(DATASETS.names())
    assert rows["adding"]["files"] == "generated" and rows["npz"]["files"] == "files of the user's"
    assert rows["shd"]["files"] == "not here: `throughtime data fetch shd`"
    synthetic_images(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte.gz").unlink()
    rows = {row["name"]: row for row in json.loads(data("ls", "--json", "--source", tmp_path)[1])}
    assert rows["rmnist"]["files"] == "3 of 4 here: `throughtime data fetch rmnist`"
    synthetic_images(tmp_path)
    rows = {row["name"]: row for row in json.loads(data("ls", "--json", "--source", tmp_path)[1])}
    assert rows["rmnist"]["files"] == f"here: {tmp_path}"


def test_fetch_says_sizes_digest_and_licence(data):
    code, out, _ = data("fetch", "digits")
    assert code == 0
    assert out.startswith("digits: train 1257, validation 180, test 360 sequences; SHA-256 87ff0c9e")
    assert out.endswith("licence: CC BY 4.0\n")


@pytest.mark.parametrize(
    "name, missing, page",
    [
        ("fsdd", "fsdd_recordings.zip", "github.com/Jakobovski"),
        ("nmnist", "train.zip", "garrickorchard.com"),
        ("dvsgesture", "ibmGestureTrain.tar.gz", "research.ibm.com"),
        ("cifar10dvs", "CIFAR10DVS.zip", "figshare.com"),
        ("shd", "shd_train.h5.zip", "zenkelab.org"),
        ("ssc", "ssc_train.h5.zip", "zenkelab.org"),
        ("qtdb", "QTDB_train.mat", "github.com/byin-cwi"),
        ("jsb_chorales", "JSB_Chorales.mat", "github.com/locuslab"),
        ("fashion_mnist", "train-images-idx3-ubyte.gz", "github.com/zalandoresearch"),
    ],
)
def test_offline_it_is_said_what_is_missing_where_it_was_looked_for_and_how_to_get_it(
    name, missing, page, data, tmp_path
):
    code, _, err = data("fetch", name)
    first, second = err.splitlines()
    assert code == 2
    assert first == f"error: {name}: {missing} is not here, and cannot be downloaded (no connection)"
    for said in (f"looked in {tmp_path / 'cache'}", "--source DIR", f"throughtime data fetch {name}", "by hand", page):
        assert said in second


def test_verify_finds_what_was_altered_and_what_is_missing(data, tmp_path):
    synthetic_images(tmp_path)
    code, out, _ = data("verify", "--source", tmp_path, "--json")
    rows = {row["file"]: row for row in json.loads(out)}
    assert code == 1
    assert rows["MNIST/train-images-idx3-ubyte.gz"]["verdict"].startswith("wrong checksum: SHA-256")
    assert rows["SHD/shd_test.h5.zip"] == {"file": "SHD/shd_test.h5.zip", "where": "not here", "verdict": "—"}
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    for path in tmp_path.glob("*.gz"):
        path.unlink()
    assert data("verify")[0] == 0  # nothing is here, and so nothing is wrong
    assert data("verify", "qtdb")[0] == 1  # asked for by name, it is
    code, _, err = data("verify", "adding")
    assert code == 2 and err == "error: adding has no files of its own\n  its data are generated\n"


def test_verify_looks_for_the_files_of_the_options(data):
    code, out, _ = data("verify", "dvsgesture", "--option", 'part="10"', "--json")
    assert code == 1 and [row["file"] for row in json.loads(out)] == ["events/dvsgesture_10.zip"]


def test_verify_counts_sequences_that_are_in_two_splits(data, tmp_path):
    made_folder(tmp_path)
    own = ("verify", "npz", "--option", f"path={tmp_path}", "--json")
    code, out, _ = data(*own)
    pairs = ["npz: train and validation", "npz: train and test", "npz: validation and test"]
    splits = [f"npz: {split}" for split in ("train", "validation", "test")]
    assert code == 0 and [row["file"] for row in json.loads(out)] == pairs + splits
    with np.load(tmp_path / "train.npz") as train, np.load(tmp_path / "test.npz") as test:
        arrays = {key: np.concatenate((train[key][:3], test[key][3:])) for key in ("x", "y", "length")}
    np.savez(tmp_path / "test.npz", **arrays)
    np.savez(tmp_path / "validation.npz", **{key: array[4:] for key, array in arrays.items()})
    code, out, _ = data(*own)
    assert code == 1
    assert [row["verdict"] for row in json.loads(out)][:3] == [
        "no sequence is in both",
        "3 sequences are in both",
        "4 sequences are in both",
    ]
    assert data("verify", "digits")[0] == 0, "data that come with a library"


def test_verify_counts_repeated_sequences(data, tmp_path, monkeypatch):
    made_folder(tmp_path)
    with np.load(tmp_path / "train.npz") as train:
        arrays = {key: np.concatenate((train[key], train[key][:2])) for key in ("x", "y", "length")}
    np.savez(tmp_path / "train.npz", **arrays)
    own, said = ("verify", "npz", "--option", f"path={tmp_path}", "--json"), "2 of 23 sequences repeat an earlier one"
    for stated, expected in ((None, (0, said)), (0.1, (0, said)), (0.05, (1, f"{said}, stated 0.05"))):
        monkeypatch.setattr(NpzFolder, "repeated", stated)
        code, out, _ = data(*own)
        assert (code, json.loads(out)[3]["verdict"]) == expected


@pytest.mark.parametrize(
    "name", ["adding", "digits", "mnist", "nmnist", "shd", "qtdb", "jsb_chorales", "pattern_generation"]
)
def test_show_draws(name, data, tmp_path):
    code, out, _ = data("show", name, "--tiny", "--out", tmp_path / "a.png")
    assert code == 0 and out.startswith(f"{tmp_path / 'a.png'}: train ")
    picture = imread(tmp_path / "a.png")
    assert picture.shape[:2] == (780, 1080)
    assert (picture[:, :, :3].min(2) < 0.9).mean() > 0.01  # there is something on it


def test_show_with_options(data, tmp_path):
    made_folder(tmp_path)
    code, out, _ = data("show", "npz", "--option", f"path={tmp_path}")
    assert code == 0 and out == "npz.png: train 22, validation 2, test 8 sequences\n"
    assert (tmp_path / "npz.png").is_file()
    assert data("show", "copy", "--option", "delay=5", "--option", "symbols=3")[0] == 0


@pytest.mark.parametrize(
    "arguments, said",
    [
        (
            ("show", "copy", "--option", "delya=5"),
            '--option delya=5: copy: unknown key "delya"\n  did you mean "delay"?',
        ),
        (("show", "copy", "--option", "delay=x"), '--option delay=x: copy: "delay" should be a whole number, not "x"'),
        (("show", "copy", "--option", f"delay={2**63}"), f"--option delay={2**63}: the number has more than 64 bits"),
        (("show", "copy", "--option", "delay"), "--option delay: an option has the form NAME=VALUE"),
        (("show", "npz"), '--option: npz: "path" is missing'),
        (("show", "fsdd", "--option", "delta=0.1"), "fsdd: delta would do nothing without form: spikes"),
        (("show", "copy", "--tiny", "--option", "delay=5"), "--option has no effect with --tiny"),
        (("show", "copy", "--tiny", "--out", "a.pdf"), "a.pdf: the output format is PNG\n  did you mean a.png?"),
        (("fetch", "npz", "--option", "path=nowhere"), "nowhere: no such folder"),
    ],
)
def test_wrong_use(arguments, said, data):
    code, _, err = data(*arguments)
    assert code == 2 and err.startswith(f"error: {said}")


def test_show_without_enough_memory_is_one_line(data):
    code, _, err = data("show", "adding", "--option", "steps=1000000000000")
    assert code == 1 and err.startswith("error: not enough memory: ") and err.count("\n") == 1


def test_show_creates_the_folder_of_the_picture(data, tmp_path):
    assert data("show", "adding", "--tiny", "--out", tmp_path / "new" / "a.png")[0] == 0


# --- progress


class Terminal(io.StringIO):
    """Standard error that is, or is not, a terminal."""

    def __init__(self, terminal: bool = True) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def shown(monkeypatch):
    """Return the text that a command writes to standard error, which is or is not a terminal."""
    for name, value in (("TERM", "xterm"), ("COLUMNS", "100"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)

    def run(do, terminal=True):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", stream := Terminal(terminal))
            do()
        return stream.getvalue()

    return run


def test_fetch_shows_on_a_terminal_how_many_arrays_are_made(shown, tmp_path):
    made_folder(tmp_path)  # 24 sequences and 8
    words = ["data", "fetch", "npz", "--option", f"path={tmp_path}"]
    first = shown(lambda: main(words))
    assert "preparing npz" in first and "32/32" in first
    assert first.endswith("\x1b[2K")  # and takes it away
    assert shown(lambda: main(words)) == ""  # they are there: there is nothing to show


def test_nothing_is_shown_where_no_terminal_is_or_nobody_wants_it(shown, tmp_path):
    made_folder(tmp_path)
    assert shown(lambda: main(["data", "fetch", "npz", "--option", f"path={tmp_path}"]), terminal=False) == ""

    def write(preparing):
        with preparing("toy"):
            cache.write_rows(tmp_path / "x.npy", 2, enumerate(np.ones((2, 3))))

    assert "2/2" in shown(lambda: write(preparing))
    assert shown(lambda: write(PlainProgress(sys.stderr).preparing)) == ""


def test_what_was_shown_is_gone_when_preparing_fails(shown, tmp_path):
    def rows():
        yield 0, np.ones(3)
        raise UsageError("truncated")

    def fail():
        with pytest.raises(UsageError), preparing("toy"):
            cache.write_rows(tmp_path / "x.npy", 2, rows())

    told = shown(fail)
    assert "1/2" in told and told.endswith("\x1b[2K")
