"""The door for language models: a server of the Model Context Protocol over the same answers as every other door."""
