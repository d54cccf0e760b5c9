"""One file per family of equations; every `Problem` defined at the top level of a module here is known to `pdes.get`."""
