"""The course inside the notebooks: predictions, exercises, progress; all named by slug.

Knows: the lab as a student uses it, panels. Must not know: the insides of either.
"""

from labkit.course.exercise import Exercise, exercise
from labkit.course.prediction import Prediction, predict

__all__ = ["Exercise", "Prediction", "exercise", "predict"]
