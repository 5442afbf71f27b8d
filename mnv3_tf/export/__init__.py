"""From a trained network to a .tflite file, and everything that reads one."""
