"""The node in the menus of the interface, and what it must hear of the script."""

import expandnet_callbacks
import nuke

nuke.menu("Nodes").addCommand("Filter/ExpandNet", "nuke.createNode('ExpandNet')", icon="ExpandNet.png")
nuke.addOnScriptLoad(expandnet_callbacks.opened)
nuke.addOnScriptSave(expandnet_callbacks.settle)
nuke.addKnobChanged(expandnet_callbacks.recolored, nodeClass="Root")
nuke.addKnobChanged(expandnet_callbacks.repointed, nodeClass="Read")
