"""Pieces and ids -> rows: layout, assembly and truncation."""
