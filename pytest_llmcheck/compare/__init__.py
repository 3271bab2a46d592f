"""Numbers in, numbers out: divergence, KL divergence, flips, intervals. Still empty."""
