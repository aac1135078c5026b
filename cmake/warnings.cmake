# Our own code: every warning is an error. MLX's headers count as system headers.
add_library(pupil_warnings INTERFACE)
target_compile_options(pupil_warnings INTERFACE -Wall -Wextra -Werror)
if(PUPIL_SANITIZE)
  target_compile_options(pupil_warnings INTERFACE
    -fsanitize=${PUPIL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(pupil_warnings INTERFACE -fsanitize=${PUPIL_SANITIZE})
endif()
