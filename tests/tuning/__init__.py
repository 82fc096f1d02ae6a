"""Tuning itself: its arithmetic on figures that are known, runs on paper, and a short run of each tool."""
