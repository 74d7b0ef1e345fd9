"""The leaderboard of records."""
