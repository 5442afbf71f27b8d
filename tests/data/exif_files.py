"""Picture files that say in their EXIF data how they are to be turned."""

import io

from PIL import Image


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def encoded(image, form, **options):
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()
