"""Figures about a dataset, or about what ``prepare`` would make of inputs. Writes nothing.

In     the folder of a dataset (``of_dataset``), or a recipe (``of_inputs``).
Out    ``Statistics``: plain numbers, in the form of one JSON object.
Keeps  a few numbers for each row in memory, and no Python object for a row.
Never  knows of terminals: ``views.stats`` finds the words.
"""
