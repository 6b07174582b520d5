// What the process's loop leaves for /metrics and /readyz, once a second. docs/operations.md has a
// table of the metrics, and test/integration/test_channel_metrics.py holds it to what a scrape
// gives.
#pragma once

#include <cstdint>
#include <string>

#include "portal/process/health.h"
#include "portal/process/measures.h"
#include "service/watch.h"

namespace fatwal::process {

struct Report : service::Report {
    void write(service::MetricsText& text) const override;

    std::string name;  // of the process
    double uptime_s = 0;
    Health health;
    Measures measures;
    service::TurnTimes delays;  // of the loop's timer
};

// Ready: it takes devices in. Accounts that are behind do not count: each of them asks again by
// itself, and a process that serves the others is not to be taken out.
[[nodiscard]] service::Readiness readiness_of(const Health& health);

}  // namespace fatwal::process
