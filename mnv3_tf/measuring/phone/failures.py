"""What went wrong in a run on a phone, told from what adb, the shell and the binary print.

Every known text is one row of `SIGNS`. The rows are tried in their order, each on every line,
because one fault prints several lines of which the most telling is seldom the first or the last:
an operator that is too new is an "unresolved_op", though the binary ends with "failed to prepare"
and "Benchmarking failed".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mnv3_tf.measuring.phone.log_lines import LogLine, clean


@dataclass(frozen=True)
class Sign:
    """A text that tells a kind of failure.

    `fatal` signs spoil a run even when its timings are there: they are of something else than
    what was asked for, or the program did not end as it should. The others are then noise, such
    as a library that was looked for in vain before another was taken.
    """

    kind: str
    pattern: str
    fatal: bool = False


@dataclass(frozen=True)
class Found:
    """`line` is the one that told, or a sentence on the exit status."""

    kind: str
    line: str


SIGNS = (
    # -- Of a run that ends well, but is not what was asked for --------------------------------
    Sign("unconsumed_flag", r"Unconsumed cmdline flags|unrecognized commandline flag", fatal=True),
    Sign("unconsumed_flag", r"(?i)(?:unknown|unrecogni[sz]ed) (?:command ?line )?(?:flag|option)"),
    Sign("unconsumed_flag", r"(?i)failed to parse (?:the )?(?:cmdline |command ?line )?flags?\b"),
    # -- adb: the phone was not reached, or went away ------------------------------------------
    Sign("unauthorized", r"device (?:still )?(?:unauthorized|authorizing)"),
    Sign("unauthorized", r"(?:insufficient|no) permissions(?: for device|[:;(]| \()"),
    Sign("unauthorized", r"^\S+\s+unauthorized$"),
    # Several phones and none named: as good as none.
    Sign("no_device", r"more than one (?:device|emulator)"),
    Sign("no_device", r"no devices(?:/emulators)? found|no emulators found|no devices with"),
    Sign("no_device", r"(?i)^(?:adb: )?error: (?:device not found|no device\b)"),
    Sign("timeout", r"timeout expired while waiting for device"),
    # A phone that was named, hence seen before, and is not there.
    Sign("device_lost", r"device '[^']*' not found|device \S+ not found|device offline"),
    Sign(
        "device_lost",
        r"(?i)error: (?:connect failed: )?closed|error: device (?:disconnected|still connecting)",
    ),
    Sign("device_lost", r"protocol fault|failed to get feature set|error: no response"),
    Sign("device_lost", r"failed to read copy response|transport (?:error|closed|is closing)"),
    Sign("device_lost", r"(?i)(?:adb|error|failed).*(?:broken pipe|connection reset|EOF\b)"),
    Sign("device_lost", r"(?i)(?:failed|unable|cannot) to connect to '?[\w.:\[\]-]+:\d+'?"),
    Sign("device_lost", r"Connection to .* (?:closed|lost)|- waiting for device -"),
    # -- The program did not start -------------------------------------------------------------
    Sign("wrong_abi", r"not executable: \d\d-bit ELF|Exec format error|cannot execute binary file"),
    Sign("wrong_abi", r"unexpected e_machine|is \d\d-bit instead of \d\d-bit|wrong ELF class"),
    Sign("wrong_abi", r"is for EM_\w+|Invalid ELF image for this architecture|bad ELF magic"),
    Sign("wrong_abi", r"only position independent executables"),
    Sign("wrong_abi", r"(?i)syntax error\b.*unexpected"),
    Sign("missing_shared_library", r"CANNOT LINK EXECUTABLE"),
    # A GPU's library that is looked for later is the delegate's affair, not the program's.
    Sign(
        "delegate_apply_failed", r"(?:lib)?(?:OpenCL|EGL|GLES\w*|cdsprpc|hexagon\w*)\.so.*not found"
    ),
    Sign("missing_shared_library", r"library \"[^\"]+\" not found"),
    Sign("missing_shared_library", r"error while loading shared libraries|could not load library"),
    Sign("missing_shared_library", r"cannot locate symbol|version `[^']+' not found|dlopen failed"),
    Sign("missing_shared_library", r"Could not open '\S*/ld-\S+'|\blinker(?:64)?: No such file"),
    # -- Memory, before the crash that follows -------------------------------------------------
    Sign("out_of_memory", r"std::bad_alloc|(?i:out of memory)|Cannot allocate memory", fatal=True),
    Sign("out_of_memory", r"(?i)failed to allocate (?:\d+ bytes|(?:\w+ )?memory)|memory exhausted"),
    Sign("out_of_memory", r"(?i)(?:lowmemorykiller|lmkd).*kill|^kill(?:ing)? '.*benchmark"),
    Sign("out_of_memory", r"OutOfMemoryError|CL_(?:OUT_OF_\w+|MEM_OBJECT_ALLOCATION_FAILURE)"),
    # -- Operators that the binary does not know -----------------------------------------------
    Sign(
        "unresolved_op",
        r"(?:Didn't|Did not|Could not|Cannot) find (?:\w+ )?op for (?:builtin|custom)",
    ),
    Sign("unresolved_op", r"(?i)(?:didn't|did not|could not) find (?:builtin|custom|an?) op"),
    Sign(
        "unresolved_op",
        r"unresolved custom op|Op builtin_code out o[fr] range|Unsupported builtin op"
        r"|Op type not registered",
    ),
    Sign(
        "unresolved_op",
        r"TensorFlow op\(s\).*(?:not supported|link)|Regular TensorFlow ops are not",
    ),
    # -- Delegates -----------------------------------------------------------------------------
    Sign("delegate_fallback", r"explicitly applied, the model.* will not be executed", fatal=True),
    Sign("delegate_apply_failed", r"Disallowed CPU fallback detected", fatal=True),
    Sign("delegate_apply_failed", r"Failed to apply (?!the default)[\w -]*delegate", fatal=True),
    Sign("delegate_fallback", r"acceleration is unsupported on th(?:is|e) platform", fatal=True),
    Sign("delegate_fallback", r"Could not create \w+ delegate: platform may not", fatal=True),
    Sign("delegate_fallback", r"delegate.*(?:only|not) supported on .*platform", fatal=True),
    Sign(
        "delegate_apply_failed",
        r"(?i)(?:couldn't|can't|could not|cannot|unable to|failed to) "
        r"(?:create|load|get|find|open|initiali[sz]e|apply)\b.*delegate(?! .*Ignoring)",
        fatal=True,
    ),
    Sign("delegate_apply_failed", r"Node number \d+ \(\w*Delegate\w*\) failed"),
    Sign("delegate_apply_failed", r"(?:Tf|TF)Lite\w*Delegate\w* (?:Init|Prepare|Invoke)\b"),
    Sign(
        "delegate_apply_failed", r"GpuDelegate (?:Init|Prepare|Invoke)|ModifyGraphWithDelegate is"
    ),
    Sign("delegate_apply_failed", r"operations are not supported by \w+ delegate"),
    Sign("delegate_apply_failed", r"Failed to build program executable|Build program failure"),
    Sign("delegate_apply_failed", r"NN API returned error|ANEURALNETWORKS_\w+ at line"),
    Sign(
        "delegate_apply_failed",
        r"(?i)(?:failed|unable|can ?not|can't) (?:to )?open OpenCL|Restored "
        r"original execution plan after delegate application failure",
    ),
    # -- The model -----------------------------------------------------------------------------
    Sign(
        "model_load_failed",
        r"Could not open '|(?i:failed to (?:load|mmap|read|open|parse|initialize)"
        r"(?! .*(?:librar|delegate))[\w ]*\bmodel\b)",
    ),
    Sign("model_load_failed", r"Please specify the name of your TF Lite input file"),
    Sign("model_load_failed", r"(?i)model provided (?:has|is)\b.*(?:identifier|version)|Mmap of '"),
    Sign(
        "model_load_failed",
        r"(?i)not a valid (?:flatbuffer|(?:tflite|litert) )|The model allocation "
        r"is null|buffer is null|model is null",
    ),
    Sign("kernel_prepare_failed", r"failed to prepare\b|(?i:failed to allocate tensors)"),
    Sign(
        "kernel_prepare_failed",
        r"AllocateTensors\(?\)? (?:failed|error)|Tensors? .*cannot be resized",
    ),
    Sign(
        "model_load_failed",
        r"(?i)failed to (?:construct|build|create|initialize)[\w ]* (?:interpreter|"
        r"compiled ?model)|failed to compile model|Registration failed",
    ),
    # -- How the program ended -----------------------------------------------------------------
    Sign(
        "timeout",
        r"(?i)\btimed[ -]?out\b|timeout: (?:sending|the )|did not answer within|^Terminated\b",
    ),
    Sign(
        "crashed",
        r"(?i)\b(?:segmentation fault|bus error|illegal instruction|floating point exception)",
        fatal=True,
    ),
    Sign(
        "crashed",
        r"(?:^|\s)(?:Aborted|Trace/breakpoint trap|Stack fault|Abort trap)\b|^zsh: abort\b",
        fatal=True,
    ),
    Sign(
        "crashed",
        r"(?i)fatal signal \d+|signal \d+ \(SIG|uncaught target signal|core dumped",
        fatal=True,
    ),
    Sign("crashed", r"\*\*\* \*\*\* \*\*\*", fatal=True),
    Sign(
        "crashed",
        r"terminating (?:with|due to) uncaught|^terminate called|stack (?:smashing|corruption) "
        r"detected",
        fatal=True,
    ),
    Sign(
        "crashed",
        r"FORTIFY: |Abort message:|FATAL EXCEPTION|^Process: \S*benchmark\S*, PID|Check failed: "
        r"|(?i:assertion .*failed)",
        fatal=True,
    ),
    # lmkd ends the largest process without a word from the process itself.
    Sign("out_of_memory", r"(?:^|\s)Killed\b", fatal=True),
    # -- The shell -----------------------------------------------------------------------------
    Sign(
        "permission_denied", r"(?i)permission denied|operation not permitted|read-only file system"
    ),
    Sign("not_found", r"(?i)no such file or directory|not found\s*$|inaccessible or not found"),
    Sign("not_found", r"(?i)cannot stat '|can't find '|does not exist"),
    # -- And no more is known ------------------------------------------------------------------
    Sign("unknown", r"Benchmarking failed", fatal=True),
    Sign("unknown", r"(?i)^(?:adb: )?(?:error|fatal):|failed to invoke|^usage: \S*benchmark_model"),
)

KINDS = (
    "device_lost",
    "no_device",
    "unauthorized",
    "wrong_abi",
    "missing_shared_library",
    "permission_denied",
    "not_found",
    "model_load_failed",
    "kernel_prepare_failed",
    "delegate_apply_failed",
    "delegate_fallback",
    "unresolved_op",
    "unconsumed_flag",
    "out_of_memory",
    "crashed",
    "timeout",
    "unknown",
)

STATUSES = {
    124: "timeout",
    126: "permission_denied",
    127: "not_found",
    132: "crashed",
    134: "crashed",
    135: "crashed",
    136: "crashed",
    137: "out_of_memory",
    139: "crashed",
    143: "timeout",
}
"""What a shell's exit status tells where no line does; 128 + the number of a signal."""

HARMLESS = re.compile(
    r"nnapi error: |WARNING: linker|linker: Warning|libneuralnetworks\.so|Ignoring the error, and"
    r"|daemon (?:not running|started)|libvndksupport|cache file .*(?:not found|No such file)"
    r"|^(?:\++|\S* ?[$#]|adb(?:\.exe)?(?= [\w-]+ ))\s+\S|^[A-Z]:\\[^>]*>"
)
"""Lines that go with good runs, whatever they look like; the last are commands, echoed."""

_COMPILED = tuple((sign, re.compile(sign.pattern)) for sign in SIGNS)


def find(text: str, status: int | None = None, timings: bool = False) -> Found | None:
    """The most telling failure of a log, or None.

    `status` is the exit status, if known. With `timings` the log holds the result, and only
    what spoils a result counts.
    """
    return find_in(clean(text), status, timings)


def find_in(
    lines: Sequence[LogLine], status: int | None = None, timings: bool = False
) -> Found | None:
    """`find` on lines that are clean already."""
    told = [line for line in lines if line.ours and not HARMLESS.search(line.text)]
    for sign, pattern in _COMPILED:
        if timings and not sign.fatal:
            continue
        for line in told:
            if pattern.search(line.text):
                return Found(sign.kind, line.text.strip())
    if not timings:
        errors = [line for line in told if line.level in ("E", "F") and line.text.strip()]
        if errors:
            return Found("unknown", errors[-1].text.strip())
    if status:
        return Found(STATUSES.get(status, "unknown"), f"It ended with status {status}.")
    return None
