"""What answers about runs cost in tokens, by whichever way they are asked for: see docs/agents.md."""
