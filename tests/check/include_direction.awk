# Includes point one way: tensor <- autograd <- nn <- models <- examples <- tests.
#     awk -f include_direction.awk FILES, their names relative to the root of the tree
# A name in quotes is relative to the file (it has no slash or begins with "../") or to the root.

BEGIN {
    n = split("tensor autograd nn models examples tests", order)
    for (i = 1; i <= n; i++)
        rank[order[i]] = i
    rank["ito.h"] = rank["models"] # the umbrella header: for programs, not for the library
}

function top(path) {
    sub(/\/.*/, "", path)
    return path
}

function directory(path) {
    return path ~ /\// ? substr(path, 1, match(path, /\/[^\/]*$/) - 1) : ""
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, quoted, "\"")
    target = quoted[2]
    here = directory(FILENAME)
    if (target ~ /^\.\.\//) {
        while (sub(/^\.\.\//, "", target))
            here = directory(here)
        target = (here == "" ? "" : here "/") target
    } else if (target !~ /\//)
        target = (here == "" ? "" : here "/") target
    else if (!(top(target) in rank))
        target = here "/" target # a folder beside the file
    from = rank[top(FILENAME)]
    to = rank[top(target)]
    if (from == "" || to == "" || to > from || (top(target) == "ito.h" && from <= rank["models"])) {
        printf "%s:%d: must not include \"%s\"\n", FILENAME, FNR, quoted[2]
        wrong++
    }
}

END { exit wrong > 0 }
