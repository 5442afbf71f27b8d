"""Timers, statistics, comparisons and published figures. No TensorFlow here."""
