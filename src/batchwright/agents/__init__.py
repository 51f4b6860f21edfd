"""Answers about runs within a budget of tokens: slices, the roles over them, and what checks a model's words. Pure."""
