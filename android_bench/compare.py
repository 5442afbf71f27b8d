"""Tests whether models became slower from one measurement to another; 1 if they did.

python -m android_bench compare before/ after/ --bound=5
"""

from collections.abc import Hashable

from absl import flags

from mnv3_tf.measuring import comparison
from mnv3_tf.measuring.comparison import Form, Measurement, Timing
from mnv3_tf.measuring.phone.results import SCHEMA_VERSION, PhoneResults, PhoneSummary

BARE = comparison.BARE
DEVICE_FIELDS = ("model", "soc", "build", "mask")
CONDITION_FIELDS = ("delegate", "num_runs", "fixed_performance")

define_flags = comparison.define_flags


def main(args: flags.FlagValues) -> None:
    comparison.compare(Form("android_bench", "run", SCHEMA_VERSION, parse), args)


def parse(found: PhoneResults) -> Measurement:
    """A phone is known by its place, since serials may change."""
    places = {device["serial"]: place for place, device in enumerate(found["devices"])}
    timings: dict[Hashable, Timing] = {
        (places[line["serial"]], line["model"], line["threads"]): Timing(
            line["model"], line["threads"], line["median_us"], rounds_us(found, line)
        )
        for line in found["summary"]
    }
    return Measurement(conditions(found), timings)


def conditions(found: PhoneResults) -> list[tuple[str, object]]:
    asked = dict(found["conditions"])
    listed = [(name, asked[name]) for name in CONDITION_FIELDS]
    listed += [("number of phones", len(found["devices"]))]
    for device in found["devices"]:
        facts = dict(device)
        listed += [(name, facts[name]) for name in DEVICE_FIELDS]
        listed += [("binary", device["binary"]["sha256"])]
    return listed


def rounds_us(found: PhoneResults, line: PhoneSummary) -> list[float]:
    """Of the runs that count."""
    good = {
        row["round"]: us
        for row in found["rows"]
        if (row["serial"], row["sha256"], row["threads"])
        == (line["serial"], line["sha256"], line["threads"])
        and row["status"] == "ok"
        and (us := row["inference_us"]) is not None
        and not row["rejected"]
    }
    return list(good.values())
