"""The section `annotate` of the configuration: one key for each operator of this folder."""

from csg405.operator import section

Config = section("annotate")
