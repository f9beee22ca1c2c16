"""FHIR R4 resources, one per line (NDJSON): identifiers replaced, what names a person removed.

* `rules`: which elements are kept, and which types of identifiers are what.
* `transform`: one resource; pure, without a service.
* `job`: a file, streaming.
"""
