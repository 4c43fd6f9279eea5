"""Every option of a run, the whole way: check, train, stop, resume, evaluate, export, card, predict."""
