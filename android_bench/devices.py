"""The phones that adb sees: their clusters of cores, their heat, and whether they can be used.

python -m android_bench devices
"""

import json
from dataclasses import asdict
from typing import Any

from absl import flags

from mnv3_tf.measuring.phone import adb, state
from mnv3_tf.measuring.phone.adb import Adb, Attached, PhoneError
from mnv3_tf.measuring.phone.phone import look_at
from mnv3_tf.ui import cli, tables

UNREADABLE = "not readable"


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("adb", None, "The adb client.", flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    client = adb.find_adb(args.adb)
    phones = [look(client, phone) for phone in adb.attached(client)]
    if not phones:
        print("No phone is attached; connect one by USB and allow debugging, or `adb connect` it.")
    for phone in phones:
        tables.facts(phone["serial"], rows(phone))
    if args.json:
        print(json.dumps({"adb": adb.version(client), "devices": phones}))


def look(client: str, attached: Attached) -> dict[str, Any]:
    """What `look_at` and `state.look` tell; an unusable phone has its "state" alone."""
    found: dict[str, Any] = {"serial": attached.serial, "state": attached.state}
    if attached.state != "device":
        return found
    connection = Adb(client, attached.serial)
    try:
        phone = look_at(connection)
        fastest = phone.clusters[-1].cpus if phone.clusters else ()
        return found | phone.describe() | {"now": asdict(state.look(connection, fastest))}
    except PhoneError as error:
        return found | {"state": error.kind}


def rows(phone: dict[str, Any]) -> list[tuple[str, str]]:
    if "now" not in phone:
        return [("state", phone["state"])]
    now = phone["now"]
    lines = [
        ("model", _join(phone["manufacturer"], phone["model"])),
        ("SoC", _join(phone["soc_maker"], phone["soc"])),
        ("Android", _join(phone["android"], phone["abi"])),
        ("build", phone["build"] or UNREADABLE),
    ]
    for cluster in phone["clusters"]:
        mhz = f"{cluster['max_khz'] / 1e3:.0f} MHz" if cluster["max_khz"] else UNREADABLE
        cpus = ",".join(map(str, cluster["cpus"]))
        text = f"cpu {cpus}: {mhz}, governor {cluster['governor'] or UNREADABLE}"
        lines.append((f"cores {cluster['mask']}", text))
    return [
        *lines,
        ("memory", _unit(phone["memory_mb"], "MB") + ", free " + _unit(now["free_mb"], "MB")),
        ("thermal status", _unit(now["thermal_status"], "")),
        ("temperature", _unit(now["celsius"], "C")),
        ("battery", _unit(now["battery_percent"], "%")),
        ("charging", _unit(now["charging"], "")),
        ("screen on", _unit(now["screen_on"], "")),
    ]


def _join(*words: str | None) -> str:
    return " ".join(word for word in words if word) or UNREADABLE


def _unit(value: object, unit: str) -> str:
    return UNREADABLE if value is None else f"{value} {unit}".strip()
