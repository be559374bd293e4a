"""
What the image service refuses, and why.

``cause`` is a sentence for the client; the face chooses the status by the class.
"""

from __future__ import annotations


class ImageError(Exception):
    """Base of everything below."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class BadImageValue(ImageError):
    """A value has the wrong type, length or form (400)."""


class ImageForbidden(ImageError):
    """Whoever asks may see it, but not do this (403)."""


class NoSuchImage(ImageError):
    """There is none, or who asks may not know of it (404)."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"No image found with ID {image_id}")


class NoSuchMember(ImageError):
    """The image is not shared with that project, or has no such tag (404)."""


class NoSuchDefinition(ImageError):
    """There is no such metadata definition, or who asks may not know of its namespace (404)."""


class NoSuchImport(ImageError):
    """There is no import of that id, or it was long ago (404)."""


class ImageConflict(ImageError):
    """The image is in another state, or there is one of that kind already (409); nothing was changed."""


class OverQuota(ImageError):
    """The project has as much as it may (413); nothing was kept."""

    @classmethod
    def by_more_than(cls, room: int) -> OverQuota:
        """
        Data was cut off.

        :param room: bytes that were left for it
        """
        return cls(f"The project is over its limit of bytes of images: {room} are left for this one, and more came.")


class SourceRefused(ImageError):
    """Data is not taken from there, or there is none (400); trying again would not help."""


class SourceBroken(ImageError):
    """The download has broken off, or could not begin now; trying again may help."""


class UnfitData(ImageError):
    """The data is not what the image says, or is of a kind that nobody may boot (400); nothing was kept."""
