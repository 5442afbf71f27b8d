"""A model's flatbuffer, written as the schema says."""

from typing import Any

import flatbuffers

ALIGNMENT = 16
"""Of constants, in bytes, by the schema's `force_align`."""


def pack_model(tree: Any) -> bytes:
    """A schema's `ModelT` as a .tflite, with weights on the boundaries that the schema wants.

    The generated packer forgets the schema's `force_align`, and kernels read misaligned floats
    slowly or, on some ARM processors, not at all.
    """
    tree.buffers = [_AlignedBuffer(buffer) for buffer in tree.buffers]
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def aligned_bytes(builder: Any, data: bytes) -> int:
    """A vector of bytes on such a boundary; returns its offset."""
    builder.StartVector(1, len(data), ALIGNMENT)
    builder.head = builder.head - len(data)
    builder.Bytes[builder.Head() : builder.Head() + len(data)] = data
    return int(builder.EndVector())


class _AlignedBuffer:
    """A `BufferT` that packs its data as the schema says."""

    def __init__(self, buffer: Any) -> None:
        self.data = None if buffer.data is None else bytes(buffer.data)

    def Pack(self, builder: Any) -> int:
        vector = None if self.data is None else aligned_bytes(builder, self.data)
        builder.StartObject(3)
        if vector is not None:
            builder.PrependUOffsetTRelativeSlot(0, vector, 0)
        return int(builder.EndObject())
