"""`trustcenter audit`: export of the logs, cosigned heads, retention, and verification without a service."""
