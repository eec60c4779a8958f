"""The dashboard: pages for people, the same figures as JSON for programs. It only reads.

A request goes through `middleware` (who may ask), to a view in `views`, which asks an open database and answers with plain figures;
`render` makes a page of them, or of what went wrong. All addresses are made in `links`, all text of a crawl passes through `filters`.
"""
