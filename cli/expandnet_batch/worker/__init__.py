"""The warm worker: one process per user, device and version that hosts such as Nuke talk to."""
