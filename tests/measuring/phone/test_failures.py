"""Every kind of failure by the lines that tell it."""

import pytest

from mnv3_tf.measuring.phone import failures

LINES = [
    ("device_lost", "error: device 'R58N123' not found"),
    ("device_lost", "adb: device 'R58N123' not found"),
    ("device_lost", "error: device offline"),
    ("device_lost", "adb: error: failed to get feature set: device offline"),
    ("device_lost", "error: closed"),
    ("device_lost", "adb: error: connect failed: closed"),
    ("device_lost", "error: protocol fault (couldn't read status): Connection reset by peer"),
    ("device_lost", "adb: error: failed to read copy response: EOF"),
    ("no_device", "error: no devices/emulators found"),
    ("no_device", "error: device not found"),
    ("no_device", "error: more than one device/emulator"),
    ("no_device", "adb: more than one device/emulator"),
    ("unauthorized", "error: device unauthorized."),
    ("unauthorized", "adb: error: failed to get feature set: device unauthorized."),
    ("unauthorized", "error: insufficient permissions for device: user in plugdev group"),
    ("unauthorized", "R58N123\tunauthorized"),
    ("wrong_abi", "/system/bin/sh: ./benchmark_model: not executable: 64-bit ELF file"),
    ("wrong_abi", "sh: /data/local/tmp/benchmark_model: not executable: 32-bit ELF file"),
    ("wrong_abi", "bash: ./benchmark_model: cannot execute binary file: Exec format error"),
    ("wrong_abi", 'CANNOT LINK EXECUTABLE "./b": "/data/b" has unexpected e_machine: 62'),
    ("wrong_abi", "./benchmark_model[1]: syntax error: unexpected '('"),
    ("wrong_abi", "./b: line 1: syntax error near unexpected token `('"),
    ("not_found", "sh: ./selftest: not found"),
    ("wrong_abi", "error: only position independent executables (PIE) are supported."),
    ("wrong_abi", "qemu-aarch64: ./b: Invalid ELF image for this architecture"),
    (
        "missing_shared_library",
        'CANNOT LINK EXECUTABLE "./benchmark_model": library "libc++_shared.so" not found: '
        "needed by main executable",
    ),
    (
        "missing_shared_library",
        'CANNOT LINK EXECUTABLE "./b": library "libOpenCL.so" not found: needed by main executable',
    ),
    ("delegate_apply_failed", 'ERROR: dlopen failed: library "libOpenCL.so" not found'),
    (
        "missing_shared_library",
        "./b: error while loading shared libraries: libx.so: cannot open shared object file: "
        "No such file or directory",
    ),
    ("missing_shared_library", "./b: /lib/libm.so.6: version `GLIBC_2.29' not found (required)"),
    ("permission_denied", "/system/bin/sh: ./benchmark_model: can't execute: Permission denied"),
    ("permission_denied", "taskset: failed to set 123's affinity: Operation not permitted"),
    ("not_found", "/system/bin/sh: ./benchmark_model: not found"),
    ("not_found", "sh: ./benchmark_model: inaccessible or not found"),
    ("not_found", "bash: ./benchmark_model: No such file or directory"),
    ("model_load_failed", "ERROR: Could not open '/data/local/tmp/m.tflite'."),
    ("model_load_failed", "ERROR: Failed to load model /data/local/tmp/m.tflite"),
    ("model_load_failed", "ERROR: Failed to initialize model loader with path m.tflite"),
    ("model_load_failed", "Failed to mmap model m.tflite"),
    ("model_load_failed", "Please specify the name of your TF Lite input file with --graph"),
    (
        "model_load_failed",
        "ERROR: Model provided has model identifier 'PK\x03\x04', should be 'TFL3'",
    ),
    ("model_load_failed", "ERROR: The model is not a valid Flatbuffer buffer"),
    ("model_load_failed", "ERROR: [litert/cc/x.h:12] ERROR: [a.cc:3] Failed to compile model."),
    ("kernel_prepare_failed", "ERROR: Node number 57 (BATCH_MATMUL) failed to prepare."),
    ("kernel_prepare_failed", "ERROR: Failed to allocate tensors!"),
    ("delegate_apply_failed", "ERROR: Failed to apply GPU delegate."),
    ("delegate_apply_failed", "Failed to apply XNNPACK delegate."),
    ("delegate_apply_failed", "ERROR: Disallowed CPU fallback detected."),
    ("delegate_apply_failed", "ERROR: Following operations are not supported by GPU delegate:"),
    ("delegate_apply_failed", "ERROR: TfLiteGpuDelegate Init: CONV_2D: bad input dims size: 0"),
    ("delegate_apply_failed", "ERROR: Node number 77 (TfLiteGpuDelegateV2) failed to prepare."),
    (
        "delegate_apply_failed",
        "ERROR: NN API returned error ANEURALNETWORKS_OP_FAILED at line 4136 while completing.",
    ),
    (
        "delegate_fallback",
        "INFO: Though NNAPI delegate is explicitly applied, the model graph will not be "
        "executed by the delegate.",
    ),
    ("delegate_fallback", "WARN: NNAPI acceleration is unsupported on this platform."),
    (
        "delegate_fallback",
        "WARN: Could not create Hexagon delegate: platform may not support delegate or required "
        "libraries are missing",
    ),
    ("unresolved_op", "ERROR: Didn't find op for builtin opcode 'MUL' version '5'. An older"),
    ("unresolved_op", "ERROR: Encountered unresolved custom op: Foo."),
    ("unresolved_op", "ERROR: Op builtin_code out of range: 127."),
    ("unresolved_op", "ERROR: Op type not registered 'RegexSplitWithOffsets' in binary running on"),
    (
        "unresolved_op",
        "ERROR: Select TensorFlow op(s), included in the given model, is(are) not supported by "
        "this interpreter.",
    ),
    ("unresolved_op", "ERROR: Regular TensorFlow ops are not supported by this interpreter."),
    ("unconsumed_flag", "WARN: Unconsumed cmdline flags: --foo=1"),
    ("unconsumed_flag", "WARNING: unrecognized commandline flag: --graph"),
    ("out_of_memory", "terminate called after throwing an instance of 'std::bad_alloc'"),
    ("out_of_memory", "ERROR: Failed to allocate memory for memory planning, 48 bytes required"),
    ("out_of_memory", "Killed "),
    ("out_of_memory", "sh: line 1: 4711 Killed                  ./benchmark_model"),
    ("out_of_memory", "lowmemorykiller: Kill 'benchmark_model' (4711), uid 2000"),
    ("crashed", "Segmentation fault (core dumped)"),
    ("crashed", "zsh: segmentation fault  ./benchmark_model"),
    ("crashed", "terminate called after throwing an instance of 'std::runtime_error'"),
    ("crashed", "Aborted "),
    ("crashed", "Abort trap: 6"),
    ("crashed", "E/AndroidRuntime( 4711): Process: org.tensorflow.lite.benchmark, PID: 4711"),
    ("crashed", "zsh: abort      ./benchmark_model"),
    ("crashed", "Illegal instruction"),
    ("crashed", "[1] + Bus error            ./benchmark_model"),
    ("crashed", "qemu: uncaught target signal 11 (Segmentation fault) - core dumped"),
    ("crashed", "F/libc: Fatal signal 6 (SIGABRT), code -6 in tid 1 (benchmark_model)"),
    ("timeout", "timeout: sending signal TERM to command './benchmark_model'"),
    ("timeout", "R58N123 did not answer within 600 s: adb shell ls"),
    ("timeout", "Terminated "),
    (
        "delegate_apply_failed",
        "ERROR: ModifyGraphWithDelegate is disallowed when graph is immutable.",
    ),
    ("unknown", "ERROR: Benchmarking failed."),
    ("unknown", "E/tflite  ( 1234): something new"),
]

HARMLESS = [
    "nnapi error: unable to open library libneuralnetworks.so",
    'WARNING: linker: Warning: "/data/b" unused DT entry: DT_RPATH (type 0xf) (ignoring)',
    "WARNING: linker: /data/b: unsupported flags DT_FLAGS_1=0x8000001",
    "* daemon not running; starting now at tcp:5037",
    "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
    "WARN: Failed to apply the default TensorFlow Lite delegate indexed at 0 because of "
    "incompatibility between runtime and delegate. Ignoring the error, and continuing anyway.",
    "INFO: Loaded OpenCL library with dlopen.",
    "\t ModifyGraphWithDelegate\t  413.346\t  413.346\t 56.670%\t 56.670%\t  1748.000\t        1\t"
    "ModifyGraphWithDelegate/0",
    "05-31 10:31:12.900  1200  1345 E ActivityManager: Permission denied: broadcast",
    "05-31 10:31:12.900  1200  1345 F DEBUG   : Fatal signal 11 (SIGSEGV) in com.other.app",
]

NOISE_BESIDE_TIMINGS = [
    "ERROR: Following operations are not supported by GPU delegate:",
    'E/x: dlopen failed: library "libOpenCL.so" not found',
    "cat: /sys/class/thermal/thermal_zone0/temp: Permission denied",
    "ls: /sdcard/x: No such file or directory",
]


@pytest.mark.parametrize(("kind", "line"), LINES)
def test_kind_of_a_line(kind: str, line: str):
    found = failures.find(f"STARTING!\n{line}\n")
    assert found is not None
    assert found.kind == kind
    assert found.line in line


def test_every_kind_has_a_line():
    assert {kind for kind, _ in LINES} == set(failures.KINDS)
    assert {sign.kind for sign in failures.SIGNS} == set(failures.KINDS)
    assert set(failures.STATUSES.values()) <= set(failures.KINDS)


@pytest.mark.parametrize("line", HARMLESS)
def test_harmless_lines(line: str):
    assert failures.find(line) is None


@pytest.mark.parametrize("line", NOISE_BESIDE_TIMINGS)
def test_what_is_noise_only_beside_timings(line: str):
    assert failures.find(line, timings=True) is None


@pytest.mark.parametrize(
    "line",
    [
        "WARN: Unconsumed cmdline flags: --foo=1",
        "WARN: WARNING: unrecognized commandline flag: --foo=1",
        "INFO: Though GPU delegate is explicitly applied, the model graph will not be executed",
        "Segmentation fault",
        "Killed",
        "ERROR: Benchmarking failed.",
    ],
)
def test_what_spoils_timings(line: str):
    assert failures.find(line, timings=True) is not None


def test_the_cause_is_told_and_not_what_follows_from_it():
    text = "\n".join(
        [
            "ERROR: Benchmarking failed.",
            "ERROR: Node number 0 (FlexDecodeWav) failed to prepare.",
            "ERROR: Regular TensorFlow ops are not supported by this interpreter.",
            "ERROR: Failed to allocate tensors!",
        ]
    )
    found = failures.find(text)
    assert found == failures.Found(
        "unresolved_op", "Regular TensorFlow ops are not supported by this interpreter."
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (124, "timeout"),
        (126, "permission_denied"),
        (127, "not_found"),
        (132, "crashed"),  # SIGILL
        (134, "crashed"),  # SIGABRT
        (135, "crashed"),  # SIGBUS
        (136, "crashed"),  # SIGFPE
        (137, "out_of_memory"),  # SIGKILL
        (139, "crashed"),  # SIGSEGV
        (143, "timeout"),  # SIGTERM
        (1, "unknown"),
    ],
)
def test_an_exit_status_tells_where_no_line_does(status: int, kind: str):
    found = failures.find("STARTING!", status)
    assert found is not None
    assert found.kind == kind


def test_of_errors_that_are_new_the_last_is_told():
    text = "E/tflite  ( 1): something new\nE/tflite  ( 1): something else\nI/tflite  ( 1): fine"
    assert failures.find(text) == failures.Found("unknown", "something else")
    assert failures.find(text, timings=True) is None


def test_a_line_tells_more_than_the_status():
    found = failures.find("sh: ./b: not executable: 64-bit ELF file", 126)
    assert found is not None
    assert found.kind == "wrong_abi"


def test_nothing_wrong():
    assert failures.find("INFO: STARTING!\nINFO: fine", 0) is None
