"""The dashboard: HTML pages, and the same content as JSON. It is read-only.

A request passes `middleware`, which checks access, and reaches a view in `views`. The view queries a database and returns plain values.
`render` turns the values, or an error, into a page. All URLs are built in `links`. All crawled text is shown by `filters`.
"""
