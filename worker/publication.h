// Whether the publication that fatwald streams has what the channels decide by.
#pragma once

#include <string>
#include <vector>

#include "requirement.h"

namespace fatwal::worker {

// `publications`: their names, those that fatwald is given. Throws RequirementError when a table of
// the domain is not published, or not all that is done to it, or if its old rows (or a partition's)
// are not whole: what is never heard of could not be taken away. Warns of tables that nobody here
// reads, and when the database cannot be asked.
void check_publication(const std::string& database, const std::vector<std::string>& publications);

}  // namespace fatwal::worker
