// Builds the schema message of a relation.
#pragma once

#include "extension/plan.h"

namespace fatwal::plugin {

// Fills `plan->schema` and `plan->schema_message` from the columns of the plan and of `shown`, the
// relation that it is published as.
void build_schema_message(Plan* plan, Relation shown);

}  // namespace fatwal::plugin
