"""`ExercisePanel`, and what it shows."""
