"""The door for people with a browser: serves the page's files, and plain tables where there is no JavaScript."""
