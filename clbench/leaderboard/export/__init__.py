"""Records as the files of other leaderboards: one file a format, its row in ``write.FORMATS``."""
