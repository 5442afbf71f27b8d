"""Package metadata; versions known to work together are in constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="mnv3_tf",
    version="0.1.0",
    description="Train MobileNetV3, export it to float and int8 TFLite, and time it.",
    long_description=(Path(__file__).parent / "README.md").read_text(),
    long_description_content_type="text/markdown",
    python_requires=">=3.11",
    packages=find_packages(include=["mnv3_tf*", "benchmark*", "android_bench*"]),
    package_data={"mnv3_tf.measuring.arm": ["*.c", "*.csv", "*.json"]},
    py_modules=["train", "export_tflite"],
    install_requires=[
        "absl-py",
        "ai-edge-litert>=2.2",
        "filelock",
        "flatbuffers",
        "h5py",
        "matplotlib",
        "numpy",
        "pillow",
        "pycocotools",
        "rich",
        "safetensors",
        "scipy",
        "tensorflow~=2.21.0",
        "tensorflow-datasets",
        "tensorflow-model-optimization>=0.8.1",
        "tf_keras~=2.21.0",
    ],
    extras_require={
        "ray": ["ray"],
        "test": ["adbutils", "mypy", "pytest", "pytest-xdist", "ray", "ruff"],
    },
)
