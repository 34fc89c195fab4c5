"""The same bytes in any environment: clock, folder, language, cores, hash seed, umask."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from faults.counts import count
from faults.harness import TOKENIZER, Case
from faults.processes import Run, fresh_env, reaped

pytestmark = pytest.mark.faults

ENVIRONMENTS: dict[str, Mapping[str, str]] = {
    "Turkish, Kathmandu": {"LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"},
    "ASCII, seed 1": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONHASHSEED": "1", "TZ": "XXX+25:59"},
    "seed 2, small terminal": {"PYTHONHASHSEED": "2", "COLUMNS": "20", "LINES": "3", "TERM": "x"},
    "threads": {"OMP_NUM_THREADS": "7", "ARROW_IO_THREADS": "1", "RAYON_NUM_THREADS": "3"},
}


def assert_same(case: Case, command: list[str], env: Mapping[str, str], cwd: Path) -> None:
    """Run a command in this environment, and assert that the dataset is the same."""
    with reaped(Run(command, case.folder, env=fresh_env(**env), cwd=cwd)) as run:
        ran = run.ended()
    assert ran.code == 0, ran
    count("runs")
    case.assert_complete()


def python(case: Case) -> list[str]:
    """Return the plain command."""
    return [sys.executable, "-m", "sftprep", *case.argv()]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environment(case: Case, name: str) -> None:
    """Language, time zone, hash seed and numbers of threads change no byte."""
    case.workers = 2
    assert_same(case, python(case), ENVIRONMENTS[name], case.folder)


@pytest.mark.parametrize("workers", [2, 4])
def test_workers(case: Case, workers: int) -> None:
    """The number of workers changes no byte."""
    case.workers = workers
    assert_same(case, python(case), {}, case.folder)


def test_one_core(case: Case) -> None:
    """By default a run has as many workers as usable cores: here one."""
    if shutil.which("taskset") is None:
        pytest.skip("taskset is not installed")
    command = python(case)
    at = command.index("--workers")
    assert_same(case, ["taskset", "-c", "0", *command[:at], *command[at + 2 :]], {}, case.folder)


@pytest.mark.parametrize("mask", [0o077, 0o000])
def test_umask(case: Case, mask: int) -> None:
    """The umask decides who may read the files, not what they hold."""
    old = os.umask(mask)
    try:
        assert_same(case, python(case), {}, case.folder)
    finally:
        os.umask(old)
    assert case.out.stat().st_mode & 0o777 == 0o777 & ~mask
    for path in case.out.rglob("*"):
        wanted = 0o777 if path.is_dir() else 0o666
        assert path.stat().st_mode & 0o777 == wanted & ~mask, path


def test_other_folder(case: Case) -> None:
    """Relative paths, another folder, and copies of the input and tokenizer change no byte."""
    place = case.folder / "ein Ördner\n" / "x"
    place.mkdir(parents=True)
    shutil.copy(case.world.source, place)
    shutil.copytree(TOKENIZER, place / "tokenizer")
    options = ["--shard-size", "40KB", "--tokenizer", "tokenizer", "--output", "../../out"]
    command = [sys.executable, "-m", "sftprep", "prepare", "in.jsonl", *options]
    assert_same(case, command, {}, place)


def test_folder_that_is_gone(case: Case) -> None:
    """The working folder may have been removed if all paths are absolute."""
    place = case.folder / "gone"
    place.mkdir()
    shell = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    assert_same(case, ["sh", "-c", shell, "sh", str(place), *python(case)], {}, case.folder)


CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long long shift(void) { return atoll(getenv("CLOCK_SHIFT")); }

int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, at);
    if (!result && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec += shift();
    return result;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[Path]:
    """A library that shifts the clock of every program that loads it."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("there is no C compiler to build the library with")
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(CLOCK)
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    yield library
    source.unlink()
    library.unlink()


@pytest.mark.parametrize("date", ["1970-01-15", "2025-03-15", "2040-07-15"])
def test_clock(case: Case, clock: Path, date: str) -> None:
    """The date changes no byte."""
    import time
    from datetime import UTC, datetime

    shift = int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() - time.time())
    env = {"LD_PRELOAD": str(clock), "CLOCK_SHIFT": str(shift)}
    probe = [sys.executable, "-c", "import time; print(time.strftime('%Y-%m', time.gmtime()))"]
    told = subprocess.run(probe, env=fresh_env(**env), capture_output=True, text=True, check=True)
    assert told.stdout.strip() == date[:7]
    case.workers = 2
    assert_same(case, python(case), env, case.folder)
