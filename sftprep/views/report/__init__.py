"""A report about a dataset: one page of HTML, to be read, sent and printed.

In     the folder of a dataset; which rows are shown; what lint has found, as JSON, if wanted.
Out    ``report_page``: the text of the page. ``PageFile`` writes it.
Keeps  figures equal to those of ``sftprep stats``, and rows equal to those of ``sftprep inspect``.
       The same dataset gives the same bytes.
Never  loads anything, runs a script, or lets a text of the data become a part of the page.
Raises UsageError: there is no such row, or the file of lint is none. NoInputError: there is no
       dataset. DataError, StorageError: the dataset is damaged. OutputError: the page's file exists
       already, or cannot be written.
"""
