"""The HTTP interface: a thin face that translates requests to the rooms' batch operations and holds no rule."""

from .app import create_app

__all__ = ["create_app"]
