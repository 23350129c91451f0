"""What several tests need: factories of frames and readers of the recordings."""
