"""int8: where values are quantised, over which ranges, and what that costs."""
