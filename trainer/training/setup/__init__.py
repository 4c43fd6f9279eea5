"""Before training: the network and its optimizer from the configuration, and `trainer train --check`."""
