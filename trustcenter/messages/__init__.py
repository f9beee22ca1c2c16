"""What passes over the wire and between the two rooms: frozen structs that refuse unknown fields.

* `trustcenter.messages.api`: bodies of the HTTP interface, version 1.
* `trustcenter.messages.rooms`: what the comparator and the registrar tell each other (M0, M2, M5, M6).
"""
