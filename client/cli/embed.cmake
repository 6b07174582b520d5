# Writes the scripts of client/cli/scripts.h into a source file: OUTPUT, from INIT and MANAGED. A
# raw string holds a script as it is.
file(READ ${INIT} init)
file(READ ${MANAGED} managed)
file(WRITE ${OUTPUT} "#include \"client/cli/scripts.h\"

namespace fatwal::cli {

const char kInitScript[] = R\"script(${init})script\";

const char kManagedScript[] = R\"script(${managed})script\";

}  // namespace fatwal::cli
")
