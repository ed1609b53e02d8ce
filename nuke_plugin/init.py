"""Found through NUKE_PATH, in the interface and on the farm: nothing but where things are."""

import nuke

nuke.pluginAddPath("./icons")
