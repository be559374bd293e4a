"""What the Image API has and cloudd has not: answered with 501, and listed in ``docs/images.md``."""

from __future__ import annotations

ABSENT = {
    "/v2/images/{image_id}/locations": "locations of an image",
    "/v2/stores": "several stores",
    "/v2/cache": "the cache of images",
}
