"""What the learners are worth: their progressive predictions against the hidden truth, or on a real log."""
