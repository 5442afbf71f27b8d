"""Measuring on this host: what a command of the toolkit costs, and how sure that is."""
