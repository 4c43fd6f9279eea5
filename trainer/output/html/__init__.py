"""HTML by Jinja2 templates with one style sheet: every value is escaped, and a page needs no network. Charts
are values that scripts draw in the browser: by Observable Plot, and by d3 for the confusion matrix."""
