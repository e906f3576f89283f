# Public prototypes and types without a comment of their own: one that ends on the line above, or one
# behind the declaration. A headline, /* ---- name ---- */, is no comment. Prints "file:line: name".
FNR == 1 { above = ""; inside = 0; declaration = 0 }

function name_of(text) {
    if (text ~ /^typedef/) {
        sub(/^typedef +/, "", text)
        if (text ~ /^(struct|enum|union) +[a-z0-9_]+ *\{?$/)
            sub(/^(struct|enum|union) +/, "", text)
        else
            sub(/ *\(.*/, "", text)
    }
    sub(/ *\(.*/, "", text)
    sub(/ *[;{[].*/, "", text)
    sub(/.*[ *]/, "", text)
    return text
}

# At the end of a declaration: its last line may carry the comment.
function judge(last) {
    if (!commented && last !~ /\/\*/)
        printf "%s:%d: %s\n", FILENAME, line, name_of(text)
    declaration = 0
}

inside { # a comment
    if (/\*\//) {
        inside = 0
        above = "comment"
    }
    next
}
declaration { # of several lines
    text = text $0
    if (body ? /^\}/ : /;/)
        judge($0)
    above = ""
    next
}
/^ITO_API|^extern ITO_API|^typedef/ {
    commented = above == "comment"
    line = FNR
    text = $0
    body = /\{$/
    declaration = 1
    if (!body && /;/)
        judge($0)
    above = ""
    next
}
/^[ \t]*\/\*/ {
    inside = !/\*\//
    above = /^\/\* ----/ ? "headline" : "comment"
    if (inside && above == "headline") { # clang-format may break one
        getline
        inside = 0
    }
    next
}
{ above = "" }
