# The Rust crate in rust/ (tokenizers, chat templates, syntax trees) as an imported target.
# Debian calls its newer Rust packages cargo-web and rustc-web; the command is still cargo.
find_program(CARGO cargo HINTS $ENV{HOME}/.cargo/bin REQUIRED)
set(PUPIL_TEXT_LIB ${CMAKE_BINARY_DIR}/rust/release/libpupil_text.a)
file(GLOB_RECURSE PUPIL_TEXT_SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/rust/src/*.rs)
add_custom_command(
  OUTPUT ${PUPIL_TEXT_LIB}
  COMMAND ${CARGO} build --release --locked --quiet
          --manifest-path ${CMAKE_SOURCE_DIR}/rust/Cargo.toml
          --target-dir ${CMAKE_BINARY_DIR}/rust
  DEPENDS ${PUPIL_TEXT_SOURCES} ${CMAKE_SOURCE_DIR}/rust/Cargo.toml
          ${CMAKE_SOURCE_DIR}/rust/Cargo.lock
  COMMENT "Building the Rust text library"
  VERBATIM)
add_custom_target(pupil_text_build DEPENDS ${PUPIL_TEXT_LIB})
add_library(pupil_text INTERFACE)
add_dependencies(pupil_text pupil_text_build)
target_include_directories(pupil_text INTERFACE ${CMAKE_SOURCE_DIR}/rust/include)
target_link_libraries(pupil_text INTERFACE ${PUPIL_TEXT_LIB} ${CMAKE_DL_LIBS})
