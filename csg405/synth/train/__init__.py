"""Training of the two small networks that stand behind rtmlib's classes in the synthetic world.

`python -m csg405.synth.train` draws the pictures, trains the person detector and the pose network, writes them as
ONNX with YOLOX's and RTMPose's contracts, and measures them on talkers that they have not seen. Nothing of the
package imports this folder: it needs torch, which the line itself does without.
"""
