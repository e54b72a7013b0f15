import socket
from pathlib import Path

from pipelines.reachable import existing, unreachable, unusable_place, unwritable


def test_a_folder_that_can_be_made_is_left_unmade(tmp_path: Path) -> None:
    assert unwritable(tmp_path / "a" / "b") is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    assert str(unwritable(tmp_path / "log" / "events")).startswith(
        f"{tmp_path / 'log' / 'events'} cannot be written"
    )
    assert existing(tmp_path / "log" / "events") == tmp_path / "log"


def test_a_sqlite_store_needs_a_folder(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    assert unreachable(f"sqlite:///{tmp_path}/mlflow.db") is None
    assert unreachable(f"sqlite:///{tmp_path}/log/mlflow.db") is not None


def test_a_server_that_does_not_answer_is_told_without_its_password() -> None:
    assert unreachable("http://ann:secret@127.0.0.1:9") == (
        "no MLflow server answers at http://ann:***@127.0.0.1:9: start it"
    )


def test_a_database_is_asked_whether_it_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert unreachable(f"postgresql://ann:secret@127.0.0.1:{port}/mlflow") is None
    why = str(unreachable(f"postgresql+psycopg2://ann:secret@127.0.0.1:{port}/mlflow"))
    assert why.startswith(f"nobody answers at 127.0.0.1:{port}")
    assert "secret" not in why


def test_of_a_place_elsewhere_nothing_is_known() -> None:
    assert unusable_place("s3://bucket/folder") is None
