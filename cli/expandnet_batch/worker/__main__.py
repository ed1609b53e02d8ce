"""`python -m expandnet_batch.worker`: how `expandnet-worker --start` starts the process that stays."""

from expandnet_batch.worker.main import main

main()
