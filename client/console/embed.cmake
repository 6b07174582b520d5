# Writes the files of FOLDER into the source file OUTPUT, as kAssets of client/console/assets.h. A
# compiler bounds the length of a literal, so a file is several of them, one behind the other.
file(GLOB_RECURSE names RELATIVE ${FOLDER} ${FOLDER}/*)
list(SORT names)
set(types "html=text/html" "css=text/css" "js=text/javascript" "svg=image/svg+xml")
set(entries "")
set(count 0)
foreach(name IN LISTS names)
    get_filename_component(extension ${name} LAST_EXT)
    set(type "")
    foreach(pair IN LISTS types)
        if(pair MATCHES "^(.+)=(.+)$" AND extension STREQUAL ".${CMAKE_MATCH_1}")
            set(type "${CMAKE_MATCH_2}; charset=utf-8")
        endif()
    endforeach()
    if(type STREQUAL "")
        continue()  # a licence, or what is written about the files
    endif()
    file(READ ${FOLDER}/${name} bytes HEX)
    string(REGEX REPLACE "(..)" "\\\\x\\1" bytes "${bytes}")
    string(REGEX REPLACE "(................................................................................................)" "\\1\"\n    \"" bytes "${bytes}")
    string(APPEND entries "    {\"/${name}\", \"${type}\",\n    std::string_view(\"${bytes}\", kSize${count})},\n")
    file(SIZE ${FOLDER}/${name} size)
    string(APPEND sizes "constexpr std::size_t kSize${count} = ${size};\n")
    math(EXPR count "${count} + 1")
endforeach()
file(WRITE ${OUTPUT} "#include \"client/console/assets.h\"

namespace fatwal::console {

namespace {
${sizes}}  // namespace

const Asset kAssets[] = {
${entries}};
const std::size_t kAssetCount = ${count};

}  // namespace fatwal::console
")
