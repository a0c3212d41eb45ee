"""The leases of this worker: how they come, what may be asked while they are held, and how they go."""
