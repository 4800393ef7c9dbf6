"""Pages for people: a template each in `templates/`, and what is drawn on it."""
