from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.secret import read_secret


def read(written: str, folder: Path, **environ: str) -> str:
    return read_secret(written, folder, environ, key="alerts.webhook")


def secret_file(folder: Path, text: str, mode: int = 0o600) -> None:
    (folder / "hook").write_text(text, encoding="utf-8")
    (folder / "hook").chmod(mode)


def test_a_variable_is_read(tmp_path: Path) -> None:
    assert read("env:HOOK", tmp_path, HOOK="https://example.org") == "https://example.org"


def test_a_file_is_read_from_the_project_without_its_line_end(tmp_path: Path) -> None:
    secret_file(tmp_path, "https://example.org\n")
    assert read("file:hook", tmp_path) == "https://example.org"


def test_any_other_text_is_the_value(tmp_path: Path) -> None:
    assert read("http://127.0.0.1:5000", tmp_path) == "http://127.0.0.1:5000"


@pytest.mark.parametrize("environ", [{}, {"HOOK": ""}])
def test_a_variable_that_is_not_set_is_told(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"alerts\.webhook: the environment variable HOOK is not set"):
        read("env:HOOK", tmp_path, **environ)


def test_a_file_that_others_may_read_is_refused_without_its_content(tmp_path: Path) -> None:
    secret_file(tmp_path, "s3cret", mode=0o640)
    with pytest.raises(UserError, match="chmod 600") as error:
        read("file:hook", tmp_path)
    assert "s3cret" not in str(error.value)


def test_an_empty_or_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read("file:hook", tmp_path)
    secret_file(tmp_path, "\n")
    with pytest.raises(UserError, match="is empty"):
        read("file:hook", tmp_path)
