# Includes point one way, as the diagram in docs/architecture.md has it:
#     tensor <- autograd <- nn <- models <- examples <- tests
# and the folders of a part likewise; models know nothing of each other.
#     awk -f include_direction.awk FILES, their names relative to the root of the tree
# A name in quotes is relative to the file (it has no slash or begins with "../") or to the root.

BEGIN {
    n = split("tensor autograd nn models examples tests", order)
    for (i = 1; i <= n; i++)
        rank[order[i]] = i
    umbrella["ito.h"] = umbrella["renamed.h"] = 1 # for programs, not for the library
    for (header in umbrella)
        rank[header] = rank["models"]

    # The folders of a part from the lowest level to the highest; "." are the files beside them.
    # Folders of one level may include each other, and what is not named stands outside the order.
    levels("tensor", ". kernels gemm conv | io")
    levels("autograd", ". | ops | onnx")
    levels("models/ddpm", "process | network objective sampler likelihood | compress edit")
}

function levels(part, folders,    n, i, at, names) {
    at = 1
    n = split(folders, names, " ")
    for (i = 1; i <= n; i++) {
        if (names[i] == "|")
            at++
        else
            level[part, names[i]] = at
    }
    depth[part] = split(part, names, "/")
}

function top(path) {
    sub(/\/.*/, "", path)
    return path
}

function directory(path) {
    return path ~ /\// ? substr(path, 1, match(path, /\/[^\/]*$/) - 1) : ""
}

# The folder of a path that is so many levels down from the root, "." for a file there.
function folder(path, down,    n, names) {
    n = split(path, names, "/")
    return n > down + 1 ? names[down + 1] : "."
}

function is_upward(from, to,    part, source, target) {
    for (part in depth) {
        if (index(from, part "/") != 1 || index(to, part "/") != 1)
            continue
        source = level[part, folder(from, depth[part])]
        target = level[part, folder(to, depth[part])]
        if (source != "" && target != "" && target > source)
            return 1
    }
    return 0
}

function is_other_model(from, to,    source, target) {
    source = folder(from, 1)
    target = folder(to, 1)
    return top(from) == "models" && top(to) == "models" && target != "." && source != target
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, quoted, "\"")
    target = quoted[2]
    here = directory(FILENAME)
    if (target ~ /^\.\.\//) {
        while (sub(/^\.\.\//, "", target))
            here = directory(here)
        target = (here == "" ? "" : here "/") target
    } else if (target !~ /\// && !(target in umbrella))
        target = (here == "" ? "" : here "/") target
    else if (!(top(target) in rank))
        target = here "/" target # a folder beside the file
    from = rank[top(FILENAME)]
    to = rank[top(target)]
    if (from == "" || to == "" || to > from || target ~ /\.\.\// ||
        (target in umbrella && from <= rank["models"] && !(FILENAME in umbrella)) ||
        is_upward(FILENAME, target) || is_other_model(FILENAME, target)) {
        printf "%s:%d: must not include \"%s\"\n", FILENAME, FNR, quoted[2]
        wrong++
    }
}

END { exit wrong > 0 }
