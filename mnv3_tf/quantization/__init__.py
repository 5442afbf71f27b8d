"""The way to int8: simplify, lower, equalise, calibrate, distil, train."""
