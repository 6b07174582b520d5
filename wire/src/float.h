// Floats as JSON, the same in every locale.
#pragma once

#include "fatwal/wire/json.h"

namespace fatwal::wire {

// The fewest digits, of the precisions that the type always holds up to those that always suffice
// (6 to 9, 15 to 17), that read back as the same number, laid out as printf's %g. NaN and the
// infinities are strings.
void render_float(float value, const Sink& sink);
void render_float(double value, const Sink& sink);

}  // namespace fatwal::wire
