"""The room that compares filters. It knows no record number, no pseudonym and no clock in its log."""
