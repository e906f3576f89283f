# A page of Markdown as Doxygen reads it. GitHub makes anchors of headings: here each gets a label of its
# page and its words. Links to anchors become links to these labels, and those to files that the site does
# not have become their text. Formulas in $ are marked as Doxygen's.

function anchor(heading) {
    heading = tolower(heading)
    gsub(/[^a-z0-9 _-]/, "", heading)
    gsub(/ /, "-", heading)
    return heading
}

# "docs/images/../tutorial.md" -> "docs/tutorial.md"
function plain(path) {
    gsub(/\/\.\//, "/", path)
    while (match(path, /[^\/]+\/\.\.\//))
        path = substr(path, 1, RSTART - 1) substr(path, RSTART + RLENGTH)
    return path
}

function label(path, name) {
    sub(/\.md$/, "", path)
    gsub(/[^A-Za-z0-9]/, "-", path)
    return tolower(path) "-" name
}

# What becomes of the link [text](target) of this page.
function link(text, target,    at, path) {
    if (target ~ /^https?:/)
        return "[" text "](" target ")"
    at = index(target, "#")
    path = at == 0 ? target : substr(target, 1, at - 1)
    path = path == "" ? page : plain(directory path)
    if (path !~ /\.md$/)
        return text
    return at == 0 ? "[" text "](" path ")" : "[" text "](#" label(path, substr(target, at + 1)) ")"
}

function links(line,    done, found, rest, middle) {
    done = ""
    while (match(line, /\[[^][]*\]\([^()]*\)/)) {
        found = substr(line, RSTART, RLENGTH)
        rest = substr(line, RSTART + RLENGTH)
        middle = index(found, "](")
        done = done substr(line, 1, RSTART - 1)
        if (substr(done, length(done)) == "!")
            done = done found
        else
            done = done link(substr(found, 2, middle - 2), substr(found, middle + 2, length(found) - middle - 2))
        line = rest
    }
    return done line
}

# Formulas in what is no code: every second part between backticks.
function formulas(line,    parts, n, i, joined) {
    n = split(line, parts, "`")
    joined = ""
    for (i = 1; i <= n; i++) {
        if (i % 2 == 1) {
            while (match(parts[i], /\$[^$ ]([^$]*[^$ ])?\$/))
                parts[i] = substr(parts[i], 1, RSTART - 1) "\\f\001" substr(parts[i], RSTART + 1, RLENGTH - 2) \
                    "\\f\001" substr(parts[i], RSTART + RLENGTH)
            gsub("\001", "$", parts[i])
        }
        joined = joined (i > 1 ? "`" : "") parts[i]
    }
    return joined
}

FNR == 1 {
    page = FILENAME
    sub("^" ENVIRON["PWD"] "/", "", page)
    directory = page
    sub(/[^\/]*$/, "", directory)
}

/^```/ {
    code = !code
    print code ? $1 : $0
    next
}
code || /^    / { print; next }
{ gsub(/<img src="[^"]*\//, "<img src=\"") } # the site has its pictures beside its pages
/^\$\$/ || display {
    line = $0
    display = !(line ~ /[^$]\$\$/)
    sub(/^\$\$/, "\\f[", line)
    sub(/\$\$/, "\\f]", line)
    print line
    next
}
page == "README.md" && /^# / {
    print $0 " {#mainpage}"
    next
}
/^##+ / {
    words = $0
    sub(/^#+ /, "", words)
    name = anchor(words)
    print formulas($0) " {#" label(page, seen[name]++ ? name "-" seen[name] - 1 : name) "}"
    next
}
{ print links(formulas($0)) }
