"""Views of a run, a plan and many runs, for people and programs. Pure functions of the fold; they write nothing."""
