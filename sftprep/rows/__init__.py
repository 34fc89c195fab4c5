"""Rendered records -> rows of ids with their loss mask.

builder       RowBuilder       the records of a block -> rows, through the next two
layout        LayoutCompiler   the pieces of a shape -> its layout: control tokens and runs of text
assembly      assemble         layouts and encoded runs -> a ``Batch``
truncation    truncate         rows over ``max_length`` -> cut or dropped
oldest_turns  shorten          long conversations -> the same without their oldest exchanges

The ids come from a ``data.runs.RunEncoder``; these modules know no tokenizer.
"""
