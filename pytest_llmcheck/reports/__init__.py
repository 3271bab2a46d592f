"""What a run tells: in the terminal now, from its record later."""
