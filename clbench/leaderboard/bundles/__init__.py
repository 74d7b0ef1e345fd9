"""A record on its way to somebody else's leaderboard: made, read as hostile, verified, added."""
