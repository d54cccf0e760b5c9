"""Systems of ordinary differential equations; every module here is found by `pdes.names`."""
