"""`trustcenter linkage`: record linkage without a service, a connection or an account."""
