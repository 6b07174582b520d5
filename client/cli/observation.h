// Reads what `fatwal doctor` judges: fatwald by its control protocol, the database by psql.
#pragma once

#include <functional>
#include <limits>

#include "client/cli/commands.h"
#include "client/cli/diagnosis.h"

namespace fatwal::cli {

class ControlClient;
struct PsqlAnswer;

// Throws only for want of resources: what cannot be reached stands in the result.
[[nodiscard]] Observed observe(const DoctorArguments& arguments);

// Its parts, for who observes again and again. `pooled` is not asked for.
[[nodiscard]] Observed::Fatwald observe_fatwald(
    ControlClient& client, std::size_t most_holds = std::numeric_limits<std::size_t>::max());
[[nodiscard]] Observed::Database observe_database(const std::function<PsqlAnswer()>& run_script);

}  // namespace fatwal::cli
