"""Texts -> ids."""
