"""The whole way, with a network that has hardly been trained."""

import json

import pytest

from benchmark import demo
from mnv3_tf import cli


@pytest.mark.slow
def test_the_demo_ends_in_a_table_and_a_page(tmp_path, capfd):
    status = cli.call(
        demo.main, demo.define_flags, ["demo", f"--out={tmp_path}", "--steps=10", "--json"]
    )
    printed = capfd.readouterr()
    assert status == 0, printed.err
    results = json.loads(printed.out.splitlines()[-1])
    assert [row[0] for row in results["rows"]] == list(demo.EXPORTS)
    methods = [results["exports"][kind]["method"] for kind in ("int8_ptq", "int8")]
    assert methods == ["ptq", "qat"]
    assert results["exports"]["float32"]["agreement"] == 1.0
    assert results["exports"]["int8"]["xnnpack"]["partitions"] == 1
    assert results["latency"]["models"][0]["ratio"] == 1.0
    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved["rows"] == results["rows"]
    page = (tmp_path / "report.html").read_text()
    assert all(f"<td>{row[6]}</td>" in page for row in results["rows"])
    assert page.count("data:image/png;base64,") == 3
