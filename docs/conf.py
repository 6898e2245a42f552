"""Sphinx's settings: ``sphinx-build -W docs build/docs``."""

from __future__ import annotations

import os
import warnings

import fastmlp

project = "fastmlp"
author = "fastmlp developers"
project_copyright = author
release = version = fastmlp.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
root_doc = "index"
default_role = "py:obj"  # names in single backticks are links where there is something to lead to
exclude_patterns = ["auto_examples/**/*.ipynb", "auto_examples/**/*.py"]

html_theme = "pydata_sphinx_theme"
html_theme_options = {"navigation_with_keys": False, "show_nav_level": 2}

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False

myst_heading_anchors = 3
# Relative links of the Markdown pages may lead to files of the repository.
suppress_warnings = ["myst.xref_missing"]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "copyfile_regex": r".*\.rst",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": None,
    "abort_on_example_error": True,
    "min_reported_time": 1,
    "parallel": os.cpu_count() or 1,
    "remove_config_comments": True,
    "show_signature": False,
    "download_all_examples": False,
    "write_computation_times": False,
}

# Pictures are drawn without a display, so that showing them has nothing to do.
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")
