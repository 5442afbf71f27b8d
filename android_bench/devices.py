"""The phones that adb sees: their clusters of cores, their heat, and whether they can be used.

python -m android_bench devices
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from absl import flags

from mnv3_tf.measuring.phone import adb, state
from mnv3_tf.measuring.phone.adb import Adb, Attached, PhoneError
from mnv3_tf.measuring.phone.phone import Phone, look_at
from mnv3_tf.measuring.phone.state import PhoneState
from mnv3_tf.ui import cli, tables

UNREADABLE = "not readable"


@dataclass(frozen=True)
class Seen:
    """A phone that adb sees; of one that cannot be used only the `state` is known."""

    serial: str
    state: str
    phone: Phone | None = None
    now: PhoneState | None = None

    def as_json(self) -> Mapping[str, object]:
        found = {"serial": self.serial, "state": self.state}
        if self.phone is None or self.now is None:
            return found
        return {**found, **self.phone.describe(), "now": asdict(self.now)}


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("adb", None, "The adb client.", flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    client = adb.find_adb(args.adb)
    phones = [look(client, phone) for phone in adb.attached(client)]
    if not phones:
        print("No phone is attached; connect one by USB and allow debugging, or `adb connect` it.")
    for seen in phones:
        tables.facts(seen.serial, rows(seen))
    if args.json:
        listed = [seen.as_json() for seen in phones]
        print(json.dumps({"adb": adb.version(client), "devices": listed}))


def look(client: str, attached: Attached) -> Seen:
    if attached.state != "device":
        return Seen(attached.serial, attached.state)
    connection = Adb(client, attached.serial)
    try:
        phone = look_at(connection)
        fastest = phone.clusters[-1].cpus if phone.clusters else ()
        now = state.look(connection, fastest)
        return Seen(attached.serial, attached.state, phone, now)
    except PhoneError as error:
        return Seen(attached.serial, error.kind)


def rows(seen: Seen) -> list[tuple[str, str]]:
    phone, now = seen.phone, seen.now
    if phone is None or now is None:
        return [("state", seen.state)]
    known = phone.properties
    lines = [
        ("model", _join(known["manufacturer"], known["model"])),
        ("SoC", _join(known["soc_maker"], known["soc"])),
        ("Android", _join(known["android"], known["abi"])),
        ("build", known["build"] or UNREADABLE),
    ]
    for cluster in phone.clusters:
        mhz = f"{cluster.max_khz / 1e3:.0f} MHz" if cluster.max_khz else UNREADABLE
        cpus = ",".join(map(str, cluster.cpus))
        text = f"cpu {cpus}: {mhz}, governor {cluster.governor or UNREADABLE}"
        lines.append((f"cores {cluster.mask}", text))
    return [
        *lines,
        ("memory", _unit(phone.memory_mb, "MB") + ", free " + _unit(now.free_mb, "MB")),
        ("thermal status", _unit(now.thermal_status, "")),
        ("temperature", _unit(now.celsius, "C")),
        ("battery", _unit(now.battery_percent, "%")),
        ("charging", _unit(now.charging, "")),
        ("screen on", _unit(now.screen_on, "")),
    ]


def _join(*words: str | None) -> str:
    return " ".join(word for word in words if word) or UNREADABLE


def _unit(value: object, unit: str) -> str:
    return UNREADABLE if value is None else f"{value} {unit}".strip()
