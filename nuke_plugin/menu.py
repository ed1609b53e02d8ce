"""The node in the menus of the interface, and what it must hear of the script."""

import expandnet_nuke
import nuke

nuke.menu("Nodes").addCommand("Filter/ExpandNet", "nuke.createNode('ExpandNet')", icon="ExpandNet.png")
nuke.addOnScriptLoad(expandnet_nuke.opened)
nuke.addOnScriptSave(expandnet_nuke.settle)
nuke.addKnobChanged(expandnet_nuke.recolored, nodeClass="Root")
nuke.addKnobChanged(expandnet_nuke.repointed, nodeClass="Read")
