"""Differential tests of fastmlp's estimators against scikit-learn's, both in one process.

`cases` lists what is fitted, `data` makes the data, `subject` names the two libraries, `compare` runs a case on both
and lists the differences, `sequences` does so for series of calls, `spread` measures how far scikit-learn is from
itself, `defects` plants errors to show that the suite sees them, and `table` prints what was compared.
"""
