"""Turn rendered records into rows of ids with a loss mask.

builder       RowBuilder       the records of a block -> rows, with layout and assembly
layout        LayoutCompiler   the pieces of a shape -> its layout: control tokens and runs of text
assembly      assemble         layouts and encoded runs -> a ``Batch``
truncation    truncate         rows longer than ``max_length`` -> cut or dropped rows
oldest_turns  shorten          long conversations -> the same without their oldest exchanges

The ids come from a ``data.runs.RunEncoder``; these modules do not depend on any tokenizer.

In this package, a *run* is a run of text, as ``data.runs`` defines it.
"""
