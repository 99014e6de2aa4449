"""The section `filter` of the configuration: `filter.criteria.<name>.<key>` changes a criterion."""

from csg405.operator import section

Config = section("filter")
