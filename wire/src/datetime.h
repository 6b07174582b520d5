// Dates and times as ISO 8601, without quotes.
#pragma once

#include "fatwal/wire/json.h"

namespace fatwal::wire {

void render_date(std::int64_t days, const Sink& sink);
void render_time(std::int64_t microseconds, const Sink& sink);
[[nodiscard]] RenderError render_timetz(Bytes value, const Sink& sink);
[[nodiscard]] RenderError render_interval(Bytes value, const Sink& sink);

}  // namespace fatwal::wire
