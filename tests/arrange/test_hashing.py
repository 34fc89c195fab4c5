"""Hashes are those of splitmix64, and the same everywhere."""

from fractions import Fraction

import numpy as np

from sftprep.arrange.hashing import mix, salt_of, smallest


def test_the_first_numbers_of_splitmix64() -> None:
    """The generator with the seed 1234567 gives these numbers, by its published test vectors."""
    golden, seed = 0x9E3779B97F4A7C15, 1234567
    states = np.array([(seed + i * golden) % 2**64 for i in range(3)], np.uint64)
    assert mix(states, 0).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_a_hash_depends_on_the_key_and_the_salt_alone() -> None:
    """Not on the other keys, and not on how many there are."""
    keys = np.arange(200_000, dtype=np.uint64)
    assert np.array_equal(mix(keys, 5)[70_000:70_010], mix(keys[70_000:70_010], 5))
    assert not np.array_equal(mix(keys, 5), mix(keys, 6))
    assert len(np.unique(mix(keys, 5))) == len(keys)


def test_seeds_and_purposes_have_their_own_salts() -> None:
    """Seeds may be any number."""
    salts = {salt_of(seed, purpose) for seed in (-1, 0, 1, 2**70 + 3) for purpose in range(5)}
    assert len(salts) == 20


def test_a_fraction_takes_that_part_of_evenly_spread_hashes() -> None:
    """All of them for a fraction of one."""
    hashes = mix(np.arange(100_000, dtype=np.uint64), 1)
    assert 9_500 < np.count_nonzero(smallest(hashes, Fraction(1, 10))) < 10_500
    assert smallest(hashes, Fraction(1)).all()
    assert not smallest(hashes, Fraction(0)).any()
