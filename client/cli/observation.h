// Reads what `fatwal doctor` judges: fatwald by its control protocol, the database by psql.
#pragma once

#include "client/cli/commands.h"
#include "client/cli/diagnosis.h"

namespace fatwal::cli {

// Throws only for want of resources: what cannot be reached stands in the result.
[[nodiscard]] Observed observe(const DoctorArguments& arguments);

}  // namespace fatwal::cli
