// Makes a Report of what fatwald is at this moment. One thread: fatwald's loop.
#pragma once

#include <chrono>
#include <memory>

#include "sidecar/http/measures.h"
#include "sidecar/http/report.h"
#include "sidecar/status.h"

namespace fatwal::sidecar {

class Control;
class Roster;

struct ReportSources {
    StatusSources status;
    const Measures& measures;
    const Control& control;
    const Roster& roster;
};

// `lists_accounts`: with the accounts of which most came.
[[nodiscard]] std::shared_ptr<const Report> report_of(const ReportSources& of, bool lists_accounts,
                                                      std::chrono::steady_clock::time_point now);

}  // namespace fatwal::sidecar
