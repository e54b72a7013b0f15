from pipelines.nearest import did_you_mean, nearest


def test_the_nearest_name_ignores_case() -> None:
    assert nearest("TRAGET", ["time", "Target"]) == "Target"


def test_a_part_of_a_name_is_near_it() -> None:
    assert nearest("income", ["age", "income-per-year"]) == "income-per-year"
    assert nearest("temperature", ["hr", "temp"]) == "temp"
    assert nearest("hr", ["hours-per-week", "three"]) is None


def test_a_name_like_no_other_has_no_nearest() -> None:
    assert nearest("zzz", ["time", "target"]) is None


def test_many_known_names_are_shown_in_part() -> None:
    advice = did_you_mean("zzz", [f"column {k}" for k in range(100)])
    assert advice.endswith("'column 19' ...")
