"""The command line as a program: what it imports, how it tells errors, its exit codes."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from isocenter.core.errors import Invalid

module = importlib.import_module("isocenter.cli.main")  # the package's `main` is the function


@pytest.mark.parametrize("arguments", [["version"], ["--help"]])
def test_help_and_version_import_nothing_of_the_services(arguments: list[str]) -> None:
    program = (
        "import atexit, sys; from isocenter.cli import main;"
        "atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr));"
        f"sys.argv = ['isocenter', *{arguments}]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    imported = set(done.stderr.split())
    assert "isocenter.cli.main" in imported
    heavy = {"pydicom", "numpy", "grpc", "uvloop", "httpx", "isocenter.settings"}
    assert not heavy & imported


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            Invalid("[red] is no folder", fix="name [one]"),
            "error: [red] is no folder\n  fix: name [one]\n",
        ),
        (
            ModuleNotFoundError("x", name="uvloop"),
            "error: the Python package uvloop is not installed\n  fix: `make setup`",
        ),
        (PermissionError(13, "Permission denied", "/a/b"), "error: /a/b: Permission denied\n"),
    ],
)
def test_errors_are_sentences_and_the_exit_code_is_1(
    error: Exception, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(module, "app", fail)
    with pytest.raises(SystemExit) as caught:
        module.main()
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith(told)


def test_the_verbs_end_with_their_own_codes(tmp_path: Path) -> None:
    def run(*arguments: str) -> int:
        command = [sys.executable, "-m", "isocenter", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode

    assert run("version") == 0
    assert run("verify") == 1
    assert run("verify", "--nonsense") == 2
    assert list(tmp_path.iterdir()) == []
