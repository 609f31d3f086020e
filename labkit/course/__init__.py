"""The course inside the notebooks: predictions, exercises, progress; all named by slug.

Knows: the lab as a student uses it, panels. Must not know: how either works inside.
"""

from labkit.course.catalogue import exercise, exercises
from labkit.course.course_panel import CoursePanel
from labkit.course.exercise import Exercise
from labkit.course.exercise_panel.panel import ExercisePanel
from labkit.course.prediction import Prediction, predict
from labkit.course.results import keep, recall
from labkit.course.stopwatch import Stopwatch, time_steps
from labkit.course.tidy import rewind, tidy

__all__ = [
    "CoursePanel",
    "Exercise",
    "ExercisePanel",
    "Prediction",
    "Stopwatch",
    "exercise",
    "exercises",
    "keep",
    "predict",
    "recall",
    "rewind",
    "tidy",
    "time_steps",
]
