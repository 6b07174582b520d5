// SQL scripts that the build puts into the program (client/cli/embed.cmake).
#pragma once

namespace fatwal::cli {

extern const char kInitScript[];      // client/cli/init.sql
extern const char kDoctorScript[];    // client/cli/doctor.sql
extern const char kManagedScript[];   // what extension/managed-sql prints
extern const char kManagedComment[];  // on the schema that this kManagedScript has made

}  // namespace fatwal::cli
