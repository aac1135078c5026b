# `make install PREFIX=...`: the executable and MLX's libraries in their relative layout.
