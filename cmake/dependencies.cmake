# Every third-party library, found where scripts/setup.sh puts it: MLX in the project's
# Python environment, the rest from apt or Homebrew.

if(NOT MLX_DIR)
  file(GLOB PUPIL_MLX_DIRS
    ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/mlx/share/cmake/MLX)
  list(GET PUPIL_MLX_DIRS 0 PUPIL_MLX_DIR)
  set(MLX_DIR ${PUPIL_MLX_DIR} CACHE PATH "folder of MLXConfig.cmake")
endif()
find_package(MLX CONFIG REQUIRED)
find_package(Threads REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(spdlog REQUIRED)
find_package(CURL REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(GTest REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(RE2 REQUIRED IMPORTED_TARGET re2)

add_library(pupil_dependencies INTERFACE)
target_link_libraries(pupil_dependencies INTERFACE
  mlx Threads::Threads nlohmann_json::nlohmann_json CLI11::CLI11 yaml-cpp spdlog::spdlog
  CURL::libcurl SQLite::SQLite3 OpenSSL::Crypto PkgConfig::RE2)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
  target_link_libraries(pupil_dependencies INTERFACE PkgConfig::SECCOMP)
endif()
