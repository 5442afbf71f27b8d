"""Searches for networks, from Python as from the command line:

    from mnv3_tf.search.searches import netadapt
    from mnv3_tf.search.settings import NetAdaptSettings

    summary = netadapt(NetAdaptSettings(run="runs/flowers", target="0.75", out="searches/flowers"))

The order of reading: `settings`, `searches`, `netadapt` and `nas` (what is tried), `short_training`
(how it is evaluated), `latency_sources`, `entries` (the journal), `report`.
"""
