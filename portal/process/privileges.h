// Whether the process's role may do what the process does.
#pragma once

#include <string>

namespace fatwal::process {

// Throws a service::Failure with the GRANT statements that mend it when a privilege is lacking: it
// would show when the first flow cannot be written. Only what is needed is asked for, by column
// where not the whole row is written. Warns when the database cannot be asked.
void check_privileges(const std::string& database);

}  // namespace fatwal::process
