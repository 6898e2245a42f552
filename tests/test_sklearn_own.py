"""scikit-learn's own tests of its MLP, executed from the installed package with our classes in place of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
import sklearn.neural_network
from parity.subject import SUBJECT, VARIABLE

TEST_FILE = Path(sklearn.neural_network.__file__).parent / "tests" / "test_mlp.py"

EXCLUDED = {
    "test_gradient": "calls the private _loss_grad_lbfgs with scikit-learn's lists of buffers",
}
"""Tests of private signatures, by name, with the reason; nothing else is left out."""

MAY_SKIP = ("pandas",)
"""What a test of scikit-learn's may skip for: packages that are not installed."""

# A plugin, because the classes must be replaced before pytest imports the test module.
PLUGIN = """
    import sys
    from pathlib import Path

    sys.path.insert(0, {here!r})
    import sklearn.neural_network
    from parity.subject import SUBJECT

    sklearn.neural_network.MLPClassifier = SUBJECT.MLPClassifier
    sklearn.neural_network.MLPRegressor = SUBJECT.MLPRegressor


    def pytest_collection_modifyitems(items):
        for item in items:
            assert item.module.MLPClassifier is SUBJECT.MLPClassifier, "the test module has scikit-learn's own class"
            assert item.module.MLPRegressor is SUBJECT.MLPRegressor, "the test module has scikit-learn's own class"
        names = "\\n".join(item.name for item in items)
        Path({collected!r}).write_text(names)
"""


@dataclass
class Run:
    """What pytest said: names as collected, and outcome and message by name."""

    collected: list[str]
    outcomes: dict[str, tuple[str, str]]
    output: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the whole file once, in a process of its own and away from this project's configuration."""
    folder = tmp_path_factory.mktemp("own")
    collected, report = folder / "collected.txt", folder / "report.xml"
    plugin = textwrap.dedent(PLUGIN).format(here=str(Path(__file__).parent), collected=str(collected))
    (folder / "our_classes.py").write_text(plugin)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [
        sys.executable, "-m", "pytest", "-p", "our_classes", "-p", "no:cacheprovider", "-q", "--rootdir", str(folder),
        "-c", str(folder / "pytest.ini"), f"--junitxml={report}", str(TEST_FILE),
    ]  # fmt: skip
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]),
        VARIABLE: SUBJECT.name,
    }
    # Variables of an enclosing pytest (its options, its workers) are not for this one.
    environment = {key: value for key, value in environment.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    output = done.stdout + done.stderr
    assert report.exists(), output
    assert collected.exists(), output
    outcomes = {}
    for test in ElementTree.parse(report).getroot().iter("testcase"):
        found = [child for child in test if child.tag in ("failure", "error", "skipped")]
        message = " ".join(f"{child.get('message')} {child.text}" for child in found)
        outcomes[test.get("name")] = (found[0].tag if found else "passed", message)
    return Run(collected.read_text().splitlines(), outcomes, output)


def _function(name: str) -> str:
    return name.split("[")[0]


def test_everything_was_run(run: Run) -> None:
    """The file was collected with its parameters, and every test has an outcome."""
    assert len(run.collected) > 40
    assert set(run.collected) == set(run.outcomes)
    assert any("[" in name for name in run.collected)


def test_exclusions_exist(run: Run) -> None:
    """No name is excluded that scikit-learn does not have any more."""
    assert set(EXCLUDED) <= {_function(name) for name in run.collected}
    assert all(EXCLUDED.values())


def test_the_rest_passes(run: Run) -> None:
    """All other tests pass; skipped are only those that need what is not installed."""
    wrong = {
        name: message
        for name, (outcome, message) in run.outcomes.items()
        if _function(name) not in EXCLUDED
        and not (outcome == "passed" or (outcome == "skipped" and any(word in message for word in MAY_SKIP)))
    }
    assert not wrong, "\n\n".join(f"{name}: {message}" for name, message in wrong.items())
