# `make install PREFIX=...`: PREFIX/bin/pupil is a link to PREFIX/lib/pupil/bin/pupil, and
# beside that lie MLX's libraries as its wheel lays them out, because libmlx finds its own
# (BLAS, LAPACK, Fortran) by a path relative to itself. An MLX from elsewhere stays there.
set(PUPIL_HOME lib/pupil)
get_filename_component(PUPIL_MLX_HOME ${MLX_DIR}/../../.. ABSOLUTE)
string(FIND "${PUPIL_MLX_HOME}" "${CMAKE_SOURCE_DIR}/.venv/" PUPIL_MLX_IN_VENV)

if(PUPIL_MLX_IN_VENV EQUAL 0)
  if(APPLE)
    set(PUPIL_ORIGIN "@loader_path")
  else()
    set(PUPIL_ORIGIN "$ORIGIN")
  endif()
  # The second path is for a loader that does not resolve the link in bin/ first.
  set(PUPIL_RPATH "${PUPIL_ORIGIN}/../mlx/lib" "${PUPIL_ORIGIN}/../lib/pupil/mlx/lib")
  install(DIRECTORY ${PUPIL_MLX_HOME}/lib/ DESTINATION ${PUPIL_HOME}/mlx/lib
    FILES_MATCHING PATTERN "*.so*" PATTERN "*.dylib" PATTERN "*.metallib")
  file(GLOB PUPIL_MLX_LIBS ${PUPIL_MLX_HOME}/../mlx*.libs)
  if(PUPIL_MLX_LIBS)
    install(DIRECTORY ${PUPIL_MLX_LIBS} DESTINATION ${PUPIL_HOME})
  endif()
else()
  set(PUPIL_RPATH ${PUPIL_MLX_HOME}/lib)
endif()

set_target_properties(pupil PROPERTIES INSTALL_RPATH "${PUPIL_RPATH}")
install(TARGETS pupil RUNTIME DESTINATION ${PUPIL_HOME}/bin)
install(CODE "
  set(bin \$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/bin)
  file(MAKE_DIRECTORY \${bin})
  file(CREATE_LINK ../${PUPIL_HOME}/bin/pupil \${bin}/pupil SYMBOLIC)")
install(FILES LICENSE DESTINATION ${PUPIL_HOME})
