# The Rust crate in rust/ (tokenizers, chat templates, syntax trees) as an imported target.
# Debian calls its newer Rust packages cargo-web and rustc-web; the command is still cargo.
# One that is too old for Cargo.toml's rust-version is passed over, as scripts/setup.sh does.
file(STRINGS ${CMAKE_SOURCE_DIR}/rust/Cargo.toml PUPIL_RUST REGEX "^rust-version")
string(REGEX MATCH "[0-9.]+" PUPIL_RUST "${PUPIL_RUST}")
function(pupil_cargo_is_new accepted cargo)
  execute_process(COMMAND ${cargo} --version OUTPUT_VARIABLE version ERROR_QUIET)
  string(REGEX MATCH "[0-9.]+" version "${version}")
  if(version VERSION_LESS PUPIL_RUST)
    set(${accepted} FALSE PARENT_SCOPE)
  endif()
endfunction()
find_program(CARGO cargo PATHS $ENV{HOME}/.cargo/bin VALIDATOR pupil_cargo_is_new REQUIRED)
# One for all presets: no sanitizer reaches into it.
set(PUPIL_RUST_BUILD ${CMAKE_SOURCE_DIR}/build/rust)
set(PUPIL_TEXT_LIB ${PUPIL_RUST_BUILD}/release/libpupil_text.a)
file(GLOB_RECURSE PUPIL_TEXT_SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/rust/src/*.rs)
add_custom_command(
  OUTPUT ${PUPIL_TEXT_LIB}
  COMMAND ${CARGO} build --release --locked --quiet
          --manifest-path ${CMAKE_SOURCE_DIR}/rust/Cargo.toml
          --target-dir ${PUPIL_RUST_BUILD}
  DEPENDS ${PUPIL_TEXT_SOURCES} ${CMAKE_SOURCE_DIR}/rust/Cargo.toml
          ${CMAKE_SOURCE_DIR}/rust/Cargo.lock
  COMMENT "Building the Rust text library"
  VERBATIM)
add_custom_target(pupil_text_build DEPENDS ${PUPIL_TEXT_LIB})
add_library(pupil_text INTERFACE)
add_dependencies(pupil_text pupil_text_build)
target_include_directories(pupil_text INTERFACE ${CMAKE_SOURCE_DIR}/rust/include)
target_link_libraries(pupil_text INTERFACE ${PUPIL_TEXT_LIB} ${CMAKE_DL_LIBS})
