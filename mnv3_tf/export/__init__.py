"""From a trained network to a .tflite file with a report that proves what it is."""
