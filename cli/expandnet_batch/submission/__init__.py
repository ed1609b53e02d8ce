"""Render-farm jobs: one file that says what is to be done, tasks that do it, and the scripts of each engine."""
