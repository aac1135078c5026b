// One function body for every instruction set, chosen at load time where the toolchain
// can; elsewhere the compiler's baseline (NEON on arm64).

#pragma once

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && \
    !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) &&          \
    !defined(__SANITIZE_THREAD__)
#define PUPIL_ALL_ISAS \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define PUPIL_ALL_ISAS
#endif
