# CPU kernels on plain memory: one object file for each instruction set, chosen at run
# time by what the processor says. They need nothing but the compiler, so that
# tests/kernels builds them alone, for another processor too.
get_filename_component(PUPIL_SOURCE_ROOT ${CMAKE_CURRENT_LIST_DIR}/.. ABSOLUTE)
set(kernel_folder ${PUPIL_SOURCE_ROOT}/src/ops/cpu)
file(GLOB PUPIL_KERNEL_SOURCES CONFIGURE_DEPENDS ${kernel_folder}/kernels_*.cpp)
list(APPEND PUPIL_KERNEL_SOURCES ${kernel_folder}/cpu_features.cpp)
add_library(pupil_kernels OBJECT ${PUPIL_KERNEL_SOURCES})
target_include_directories(pupil_kernels PUBLIC ${PUPIL_SOURCE_ROOT}/src)
target_link_libraries(pupil_kernels PUBLIC pupil_warnings)

# GCC 12 warns falsely (maybe-uninitialized) inside the AVX-512 intrinsics.
function(pupil_kernel_flags name)
  set(flags -O3 -ffp-contract=off ${ARGN})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND flags -Wno-maybe-uninitialized -Wno-uninitialized -Wno-psabi)
  endif()
  set_source_files_properties(${kernel_folder}/kernels_${name}.cpp PROPERTIES
    COMPILE_OPTIONS "${flags}")
endfunction()

set(avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c)
set(kernel_processor ${CMAKE_SYSTEM_PROCESSOR})
if(CMAKE_OSX_ARCHITECTURES)
  set(kernel_processor ${CMAKE_OSX_ARCHITECTURES})
endif()
pupil_kernel_flags(generic)
if(kernel_processor MATCHES "^(x86_64|AMD64)$")
  pupil_kernel_flags(avx2 -mavx2 -mfma -mf16c)
  pupil_kernel_flags(avx512 ${avx512})
  pupil_kernel_flags(avx512_vnni ${avx512} -mavx512vnni)
elseif(kernel_processor MATCHES "^(aarch64|arm64)$")
  pupil_kernel_flags(neon)
  pupil_kernel_flags(neon_dot -march=armv8.2-a+dotprod)
  pupil_kernel_flags(neon_i8mm -march=armv8.2-a+dotprod+i8mm)
endif()
