"""Person detection and whole-body pose by rtmlib's pre- and post-processing on onnxruntime.

The two parts are called one by one, never `rtmlib.Wholebody`: it hides the boxes, makes up a pose where nobody is,
gives both networks the same channel order, and takes every core. Here a picture is RGB, a network says which order
it wants, a person is needed for a pose, poses are estimated in batches, and a session has one thread.
"""

from csg405.pose.detector import Detector
from csg405.pose.estimator import Estimator

__all__ = ["Detector", "Estimator"]
