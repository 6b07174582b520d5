# Writes the scripts of client/cli/scripts.h into a source file: OUTPUT, from INIT, DOCTOR and
# MANAGED. A raw string holds a script as it is. The comment on the schema gets the digest of the
# script that made it, by which `fatwal init` knows whether to run it again.
file(READ ${INIT} init)
file(READ ${DOCTOR} doctor)
file(READ ${MANAGED} managed)
string(MD5 digest "${managed}")
set(comment "fatwal 0.1 without its extension")
string(REPLACE "IS '${comment}'" "IS '${comment}, script ${digest}'" managed "${managed}")
file(WRITE ${OUTPUT} "#include \"client/cli/scripts.h\"

namespace fatwal::cli {

const char kInitScript[] = R\"script(${init})script\";

const char kDoctorScript[] = R\"script(${doctor})script\";

const char kManagedScript[] = R\"script(${managed})script\";

const char kManagedComment[] = \"${comment}, script ${digest}\";

}  // namespace fatwal::cli
")
