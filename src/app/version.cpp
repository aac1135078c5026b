#include "app/version.h"

#include "app/machine.h"
#include "mlx/version.h"

namespace pupil {

std::string version_text() {
  return std::string("pupil ") + PUPIL_VERSION + "\nmlx " + mlx::core::version() +
         "\ncpu " + cpu_features_text();
}

}  // namespace pupil
