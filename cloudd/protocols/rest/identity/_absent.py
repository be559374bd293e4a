# -*- test-case-name: tests.protocols.rest.identity -*-
"""
What Identity API v3 has and cloudd has not yet: 501 with its name, so that nobody takes it for a slip in the path.

Whatever stands neither here nor among the routes answers 404.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Path -> what is there and below; also the table in ``docs/identity.md``.
ABSENT: Mapping[str, str] = {
    "/v3/groups": "Groups",
    "/v3/credentials": "Credentials other than EC2 ones",
    "/v3/policies": "Policies",
    "/v3/limits": "Unified limits",
    "/v3/registered_limits": "Unified limits",
    "/v3/ec2tokens": "Tokens from EC2 signatures",
    "/v3/s3tokens": "Tokens from S3 signatures",
    "/v3/auth/OS-FEDERATION": "Federation",
    "/v3/OS-FEDERATION": "Federation",
    "/v3/OS-TRUST": "Trusts",
    "/v3/OS-OAUTH1": "OAuth 1.0a",
    "/v3/OS-OAUTH2": "OAuth 2.0",
    "/v3/OS-INHERIT": "Inherited roles",
    "/v3/OS-REVOKE": "Revocation events",
    "/v3/OS-EP-FILTER": "Endpoint filters",
    "/v3/OS-SIMPLE-CERT": "PKI certificates",
    "/v3/system": "System scope",
    "/v3/domains/config/{group}": "Domain configuration",
    "/v3/domains/{domain_id}/config": "Domain configuration",
    "/v3/domains/{domain_id}/groups": "Groups",
    "/v3/projects/{project_id}/groups": "Groups",
    "/v3/projects/{project_id}/tags/{tag}": "Tags",
}
