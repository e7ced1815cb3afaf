"""Queued inference of the service (`/v2`) through the gateway."""
