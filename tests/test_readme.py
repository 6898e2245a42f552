"""What the README promises: its commands in a clone, its example, and an installation without a compiler."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def code_blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def clone(folder):
    """Copy what a clone would hold: the tracked files as they are now; outside a repository, all but what is built."""
    if (ROOT / ".git").exists():
        listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for name in filter(None, listing.split("\0")):
            if (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
    else:
        ignore = shutil.ignore_patterns("build", "dist", "*.egg-info", "*.so", "__pycache__", ".*_cache", ".venv")
        shutil.copytree(ROOT, folder, dirs_exist_ok=True, ignore=ignore)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A fresh virtual environment, for one installation after the other."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder


@pytest.fixture
def old_gcc(tmp_path):
    """A gcc from before AVX: the kernels of later processors, which others build, take most of the time of one."""
    script = tmp_path / "gcc"
    script.write_text('#!/bin/sh\ncase "$*" in *-mavx*) exit 1 ;; esac\nexec gcc "$@"\n')
    script.chmod(0o755)
    return str(script)


class Installation:
    """A clone, in which shell commands run in a virtual environment."""

    def __init__(self, folder, environment, **variables):
        self.clone = folder / "clone"
        self.clone.mkdir()
        clone(self.clone)
        self.variables = {
            name: value for name, value in os.environ.items() if not name.startswith(("FASTMLP_", "PYTHON"))
        }
        self.variables |= {"PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}", **variables}

    def run(self, command, cwd=None):
        done = subprocess.run(
            command, shell=True, cwd=cwd or self.clone, env=self.variables, capture_output=True, text=True
        )
        output = f"{command}\n{done.stdout}\n{done.stderr}"
        if done.returncode and re.search("NewConnectionError|NameResolutionError|(Read|Connect)TimeoutError", output):
            pytest.skip("pip cannot reach a package index")
        assert done.returncode == 0, output
        return done


def test_the_readme_names_the_two_commands():
    commands = [command.strip() for command in code_blocks("sh")]
    assert commands == ["pip install . && python -m fastmlp", 'pip install ".[test]" && pytest -n auto']


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_examples_run():
    estimators, network = code_blocks("python")
    names = {}
    exec(compile(estimators, "README.md", "exec"), names)
    assert names["clf"].score(names["X_test"], names["y_test"]) > 0.95
    exec(compile(network, "README.md", "exec"), names)
    assert (names["net"].forward(names["X"]).round() == names["Y"]).all()
    assert names["losses"][-1] < 0.1 * names["losses"][0]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_the_first_command_in_a_clone(tmp_path, environment):
    done = Installation(tmp_path, environment).run(code_blocks("sh")[0])
    assert re.search(r"^backend: c, instruction set: \w+, threads: \d+$", done.stdout, flags=re.MULTILINE)
    for data in ("digits", "breast cancer", "diabetes"):
        assert re.search(rf"^{data} .* \d+\.\d+x$", done.stdout, flags=re.MULTILINE)


@pytest.mark.slow
def test_an_installation_without_a_compiler(tmp_path, environment):
    installation = Installation(tmp_path, environment, CC="false")
    # What an earlier build has left is not installed.
    left = f"build/lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}/_fastmlp_c.abi3.so"
    (installation.clone / left).parent.mkdir(parents=True)
    (installation.clone / left).write_bytes(b"old")
    log = installation.run("pip install -v .")
    assert (log.stdout + log.stderr).count("WARNING: fastmlp is being installed WITHOUT its C kernels") == 1
    use = (
        "import fastmlp\n"
        "for _ in range(2): print(fastmlp.Network([2, 3, 1], random_state=0).forward([[0.0, 1.0]]).shape)\n"
        "fastmlp.show_versions()\n"
    )
    (tmp_path / "use.py").write_text(use)
    done = installation.run("python use.py", cwd=tmp_path)
    assert done.stdout.startswith("(1, 1)\n(1, 1)\n")
    assert f"{tmp_path / 'use.py'}:2: RuntimeWarning" in done.stderr
    fit = "from fastmlp import MLPRegressor\nMLPRegressor(max_iter=1, solver='lbfgs').fit([[1.0], [2.0]], [1, 2])\n"
    (tmp_path / "fit.py").write_text(fit)
    assert f"{tmp_path / 'fit.py'}:2: RuntimeWarning" in installation.run("python fit.py", cwd=tmp_path).stderr
    assert re.search(r"^backend +numpy\b", done.stdout, flags=re.MULTILINE)
    assert done.stderr.count("Warning: ") == 1
    assert "RuntimeWarning: The compiled extension of fastmlp is missing" in done.stderr
    assert not list(environment.glob("lib/python*/site-packages/_fastmlp_c*"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_flags_of_the_user_change_no_result(tmp_path, environment, old_gcc):
    variables = {"CFLAGS": "-O0 -ffast-math", "FASTMLP_REQUIRE_EXTENSION": "1"}
    installation = Installation(tmp_path, environment, CC=old_gcc, **variables)
    installation.run("pip install .")
    use = (
        "import fastmlp, numpy as np\n"
        "net = fastmlp.Network([2, 3, 1], random_state=0, backend='c')\n"
        "try: net.forward([[np.nan, 1.0]])\n"
        "except ValueError as error: print(error)\n"
        "print(np.float64(1e-310) * np.float64(0.5) > 0)\n"
    )
    done = installation.run(f'python -c "{use}"', cwd=tmp_path)
    assert done.stdout == "X must be finite, got NaN.\nTrue\n"
