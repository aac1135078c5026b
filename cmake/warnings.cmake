# Our own code: every warning is an error. MLX's headers count as system headers.
add_library(pupil_warnings INTERFACE)
target_compile_options(pupil_warnings INTERFACE -Wall -Wextra -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
  # GCC 12 and 13 warn falsely inside std::string (GCC bugs 105329 and 105651).
  target_compile_options(pupil_warnings INTERFACE
    -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds)
endif()
if(PUPIL_SANITIZE)
  target_compile_options(pupil_warnings INTERFACE
    -fsanitize=${PUPIL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(pupil_warnings INTERFACE -fsanitize=${PUPIL_SANITIZE})
endif()
