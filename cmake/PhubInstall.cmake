# What `cmake --install` puts where. Filled in by the package: programs, worker library, public headers.
