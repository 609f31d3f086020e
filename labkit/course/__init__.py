"""The course inside the notebooks: predictions, exercises, progress; all named by slug.

Knows: the lab as a student uses it, panels. Must not know: how either works inside.
"""

from labkit.course.catalogue import exercise, exercises
from labkit.course.comparing import compare
from labkit.course.course_panel import CoursePanel
from labkit.course.exercise import Exercise
from labkit.course.exercise_panel.panel import ExercisePanel
from labkit.course.finding import Finding, tell
from labkit.course.prediction import Prediction, predict
from labkit.course.results import keep, recall
from labkit.course.reviewing import Review, review
from labkit.course.stopwatch import Stopwatch, time_steps
from labkit.course.tidy import rewind, tidy

__all__ = [
    "CoursePanel",
    "Exercise",
    "ExercisePanel",
    "Finding",
    "Prediction",
    "Review",
    "Stopwatch",
    "compare",
    "exercise",
    "exercises",
    "keep",
    "predict",
    "recall",
    "review",
    "rewind",
    "tell",
    "tidy",
    "time_steps",
]
