"""How notebooks are run."""

from nbclient import NotebookClient

# Mimicking the browser's side of output widgets, nbclient now and then waits for a reply that it has read already
# (jupyter/nbclient, issue 312). Without it what they show lands below the cell.
NotebookClient.on_comm_open_jupyter_widget = lambda self, message: None
