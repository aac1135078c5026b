# CPU kernels compiled once per instruction set are listed here.
