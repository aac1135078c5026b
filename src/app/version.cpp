#include "app/version.h"

#include "mlx/version.h"

namespace pupil {

std::string version_text() {
  return std::string("pupil ") + PUPIL_VERSION + "\nmlx " + mlx::core::version();
}

}  // namespace pupil
