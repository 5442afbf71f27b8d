"""Timing .tflite models on Android phones over adb; needs Python and adb, and no TensorFlow."""
