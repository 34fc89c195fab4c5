"""The cache may be damaged, missing or out of reach: no byte of a dataset depends on it."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.counts import count
from faults.harness import Case, many
from faults.places import mounted

pytestmark = pytest.mark.faults


@pytest.fixture
def cache(case: Case) -> Path:
    """The cache folder after a run."""
    folder = case.folder / "cache"
    run_with(case, folder)
    assert [path for path in folder.rglob("*") if path.is_file()]
    return folder


def run_with(case: Case, folder: Path | str) -> None:
    """Run with this cache folder, and assert that the dataset is the same."""
    ran = case.fork(env={"SFTPREP_CACHE": str(folder)})
    assert ran.code == 0, ran
    case.assert_complete()
    case.clear()


def test_damaged_entries(case: Case, cache: Path) -> None:
    """Files of the cache are cut off, changed, emptied, extended or missing."""
    choose = random.Random(5)
    for _ in range(many(6, 40)):
        files = sorted(path for path in cache.rglob("*") if path.is_file())
        path = choose.choice(files)
        data = bytearray(path.read_bytes())
        kind = choose.choice(["flip", "cut", "empty", "grow", "remove", "folder"])
        if kind == "flip" and data:
            data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
        elif kind == "cut":
            del data[choose.randrange(len(data) + 1) :]
        elif kind == "empty":
            data.clear()
        elif kind == "grow":
            data += b"x"
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind != "remove":
            path.write_bytes(data)
        run_with(case, cache)
        count("faults")


PLACES: dict[str, Callable[[Path], object]] = {
    "a file": lambda place: place.write_text("mine"),
    "a link to nowhere": lambda place: place.symlink_to("nowhere"),
    "below a file": lambda place: (place.parent / "cache").write_text("mine"),
    "device": lambda place: place.symlink_to(os.devnull),
}


@pytest.mark.parametrize("kind", PLACES)
def test_no_cache_folder_can_be_created(case: Case, kind: str) -> None:
    """Where no cache folder can be created, a run works without one."""
    place = case.folder / "cache"
    PLACES[kind](place)
    run_with(case, place / "deep" if kind == "below a file" else place)
    count("faults")


@pytest.mark.parametrize("options", ["ro", "size=64k", "size=1m,nr_inodes=3"])
def test_no_space_for_the_cache(case: Case, options: str) -> None:
    """A full or read-only disk does not disturb a run."""
    with mounted(case.folder / "disk", options) as disk:
        run_with(case, disk / "cache")
        run_with(case, disk / "cache")
        count("faults")


def test_no_cache(case: Case) -> None:
    """An empty name means no cache."""
    run_with(case, "")
    count("runs")
