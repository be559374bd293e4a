"""
The images that servers of this host boot from, as files beside each other: one copy for all that are of one image.

::

    cache = ImageCache(resources, store, in_use)
    cached = await cache.get(image)                   # image: cloudd.image.Image
    cached.path, cached.format                        # guests have copy-on-write layers above it
    await cache.hold(server_id, [kernel, ramdisk])    # what else it boots by, until cache.release(server_id)

    async def in_use() -> Collection[Path]:           # what may not be removed, however old it is
        return await resources.threads.run(backing_files, [folder_of_disks])

A file is there whole or not at all: it comes from the object store of this host, is looked at and compared with the
image's size and checksum, is on disk before it has its name, and is never changed again.
"""

from ._backing import backing_files
from ._cache import CachedImage, ImageCache
from ._errors import ImageCacheError, ImageDamaged, ImageNotHere, NoRoomForImage, UnfitImage

__all__ = [
    "CachedImage",
    "ImageCache",
    "ImageCacheError",
    "ImageDamaged",
    "ImageNotHere",
    "NoRoomForImage",
    "UnfitImage",
    "backing_files",
]
