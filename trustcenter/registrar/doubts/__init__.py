"""Clearing: stewards decide doubtful pairs, blind, and sites look at records of their own."""
