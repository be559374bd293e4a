"""Why an image cannot be had on this host.  Nothing of it is left there."""

from __future__ import annotations

from cloudd.image import ImageError


class ImageCacheError(ImageError):
    """
    Base of everything below; also where a disk of this host fails.

    :ivar cause: what is the matter, with the next step
    :cvar elsewhere: another host may be better off
    """

    elsewhere = True


class ImageNotHere(ImageCacheError):
    """The image has no data, or none in the object store of this host."""


class UnfitImage(ImageCacheError):
    """Nobody boots from such data."""

    elsewhere = False


class ImageDamaged(ImageCacheError):
    """What the store gives is not what was stored."""


class NoRoomForImage(ImageCacheError):
    """The disk of the cache is full."""
