# Writes the files of FOLDER into the source file OUTPUT, as kAssets of client/console/assets.h. A
# compiler bounds the length of a literal, so a file is several of them, one behind the other.
file(GLOB_RECURSE names RELATIVE ${FOLDER} ${FOLDER}/*)
list(SORT names)
set(entries "")
set(count 0)
foreach(name IN LISTS names)
    get_filename_component(extension ${name} LAST_EXT)
    if(extension STREQUAL ".html" OR extension STREQUAL ".css")
        string(SUBSTRING ${extension} 1 -1 type)
    elseif(extension STREQUAL ".js")
        set(type javascript)
    else()
        continue()  # a licence, or what is written about the files
    endif()
    set(type "text/${type}; charset=utf-8")
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
