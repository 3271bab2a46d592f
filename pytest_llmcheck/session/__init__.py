"""A test run's models: which are active, their engines, what was asked and answered."""
