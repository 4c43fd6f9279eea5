"""HTML by Jinja2 templates with one style sheet: every value is escaped, and a page needs no network."""
