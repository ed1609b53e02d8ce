"""The node in the menus of the interface."""

import nuke

nuke.menu("Nodes").addCommand("Filter/ExpandNet", "nuke.createNode('ExpandNet')", icon="ExpandNet.png")
