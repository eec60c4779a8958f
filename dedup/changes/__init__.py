"""Classification of changes: kind, severity and evidence. Pure functions of two states of a page.

Nothing is imported here: `dedup.changes.diff` is used without the classification, whose expressions take a while to compile.
"""
