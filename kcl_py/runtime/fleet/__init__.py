"""This worker's part in the fleet: who leads, who lives, and which lease should be where."""
