# CPU kernels: one object file for each instruction set, chosen by cpuid at run time.
# They include no MLX header, so they take no precompiled one, and GCC 12 warns falsely
# (maybe-uninitialized) inside the AVX-512 intrinsics.
function(pupil_kernels source)
  set(flags -O3 -ffp-contract=off ${ARGN})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND flags -Wno-maybe-uninitialized -Wno-uninitialized -Wno-psabi)
  endif()
  set_source_files_properties(${CMAKE_SOURCE_DIR}/src/ops/cpu/${source} PROPERTIES
    COMPILE_OPTIONS "${flags}" SKIP_PRECOMPILE_HEADERS ON)
endfunction()

pupil_kernels(kernels_generic.cpp)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND NOT CMAKE_OSX_ARCHITECTURES MATCHES "arm64")
  pupil_kernels(kernels_avx2.cpp -mavx2 -mfma -mf16c)
  set(avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c)
  pupil_kernels(kernels_avx512.cpp ${avx512})
  pupil_kernels(kernels_avx512_vnni.cpp ${avx512} -mavx512vnni)
endif()

# Our cblas_sgemm stands in front of the one in MLX's wheel: linked into every program,
# exported because libmlx refers to it. A Mac's MLX calls Accelerate, which stays.
if(NOT APPLE)
  target_link_options(pupil_core INTERFACE LINKER:--undefined=cblas_sgemm)
endif()
