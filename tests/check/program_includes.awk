# Programs are users: examples/ includes the library as <ito/...>, public headers only, and no other
# part of the tree. A program includes its own headers and those of examples/common, which itself
# knows no model: neither <ito/models/...> nor <ito/ito.h>, which has them all.
#     awk -f program_includes.awk ito.h FILES of examples/, names relative to the root of the tree
# A quoted name without a folder of the tree's root is beside the file, or made by the build.

BEGIN {
    n = split("tensor autograd nn models tests", parts)
    for (i = 1; i <= n; i++)
        internal[parts[i]] = 1
    public["ito.h"] = 1
}

function top(path) {
    sub(/\/.*/, "", path)
    return path
}

function directory(path) {
    return path ~ /\// ? substr(path, 1, match(path, /\/[^\/]*$/) - 1) : ""
}

function program(path) { # of examples/NAME/..., NAME
    split(path, names, "/")
    return names[2]
}

function refuse(why) {
    printf "%s:%d: %s: %s\n", FILENAME, FNR, $0, why
    wrong++
}

FILENAME == "ito.h" {
    if (/^#include "/) {
        split($0, quoted, "\"")
        public[quoted[2]] = 1
    }
    next
}

/^[ \t]*#[ \t]*include[ \t]*</ {
    target = $0
    sub(/^[^<]*</, "", target)
    sub(/>.*/, "", target)
    header = substr(target, 5)
    if (top(target) in internal || target ~ /\.\.\//)
        refuse("the library is included as <ito/...>")
    else if (top(target) == "ito" && !(header in public))
        refuse("not a public header")
    else if (top(target) == "ito" && program(FILENAME) == "common" && header ~ /^(models\/|ito\.h$)/)
        refuse("examples/common knows no model")
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, quoted, "\"")
    target = quoted[2]
    here = directory(FILENAME)
    if (target ~ /^\.\.\//) {
        while (sub(/^\.\.\//, "", target))
            here = directory(here)
        target = (here == "" ? "" : here "/") target
    } else if (!(top(target) in internal) && top(target) != "examples" && target != "ito.h")
        target = here "/" target
    if (top(target) != "examples")
        refuse("the library is included as <ito/...>")
    else if (program(target) != program(FILENAME) && program(target) != "common")
        refuse("programs share examples/common only")
}

END { exit wrong > 0 }
