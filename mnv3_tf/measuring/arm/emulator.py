"""An ARM computer in software: a program of Debian's arm64 Python, run by qemu on a core of ours.

All that the runtime sees of a machine is made up, and the same on every host: /proc/cpuinfo and
/sys by the tree that qemu looks into before the host's own (-L), the environment, the working
folder, the release of the kernel and the seed of what is random.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mnv3_tf.measuring.arm.cores import Core

QEMU = "qemu-aarch64"
PLUGIN = "counter.so"
PYTHON = "usr/bin/python3.11"
ENVIRONMENT: Mapping[str, str] = {
    "LC_ALL": "C",
    "LD_BIND_NOW": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PATH": "/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "TZ": "UTC0",
}
SEEN: Mapping[str, str] = {
    # The host's own name libraries of another processor.
    "etc/ld.so.cache": "",
    "etc/ld.so.preload": "",
    "sys/devices/system/cpu/kernel_max": "0\n",
    "sys/devices/system/cpu/online": "0\n",
    "sys/devices/system/cpu/possible": "0\n",
    "sys/devices/system/cpu/present": "0\n",
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "2000000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_min_freq": "2000000\n",
    "sys/devices/system/cpu/cpu0/topology/physical_package_id": "0\n",
    "sys/devices/system/cpu/cpu0/topology/cluster_cpus_list": "0\n",
    "sys/devices/system/cpu/cpu0/topology/core_id": "0\n",
    "sys/devices/system/cpu/cpu0/topology/core_siblings_list": "0\n",
    "sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0\n",
    **{
        f"sys/devices/system/cpu/cpu0/cache/index{index}/{name}": text
        for index, level, size in ((0, "1", "64K"), (1, "1", "64K"), (2, "2", "256K"))
        for name, text in (("level", level), ("size", size), ("shared_cpu_list", "0"))
    },
}
"""Files that the runtime looks into beside /proc/cpuinfo: one core, with caches of common sizes."""


@dataclass(frozen=True)
class Emulator:
    """`folder` holds Debian's tree ("root"), Python's packages ("site") and the plug-in."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def run(
        self,
        core: Core,
        *words: str | Path,
        given: str = "",
        counts: Path | None = None,
        options: tuple[str, ...] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Python with these words and `given` on its standard input, in this folder.

        `counts` is the file that the plug-in writes; `options` are more of qemu's.
        """
        plugin = ["-plugin", f"{self.folder / PLUGIN},out={counts}"] if counts else []
        qemu = [shutil.which(QEMU) or QEMU, "-cpu", core.qemu, "-r", "6.1.0", "-seed", "0"]
        with self.tree(core) as tree:
            return subprocess.run(
                [*qemu, *plugin, *options, "-L", tree, self.root / PYTHON, "-S", *words],
                cwd=self.folder,
                env={
                    **ENVIRONMENT,
                    "PYTHONHOME": str(self.root / "usr"),
                    "PYTHONPATH": str(self.folder / "site"),
                },
                input=given,
                capture_output=True,
                text=True,
                errors="replace",
            )

    @contextmanager
    def tree(self, core: Core) -> Iterator[Path]:
        """Debian's, with the files that tell of the core."""
        with tempfile.TemporaryDirectory() as name:
            for entry in self.root.iterdir():
                if entry.name not in ("etc", "proc", "sys"):
                    (Path(name) / entry.name).symlink_to(entry)
            for path, text in {**SEEN, "proc/cpuinfo": core.cpuinfo}.items():
                file = Path(name) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            yield Path(name)
