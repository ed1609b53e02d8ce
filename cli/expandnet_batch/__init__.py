"""The command line: options become settings, the batch loop drives the one `Expander`."""
