# A public header as Doxygen reads it: the first comment is the file's, and those inside of a struct or
# enum, behind a member or above it, are of members. Lines of code in a comment get the empty line before
# them that makes them code.

FNR == 1 && /^\/\* / { $0 = "/** @file\n *\n * " substr($0, 4) }

/^ +[^ \/*].*[^ ] +\/\* / { sub(/ \/\* /, " /**< ") }
/^ +\/\* / { sub(/\/\* /, "/** ") }

/^ \* {0,3}[^ ]|^ *\/\*\*|^ \*$|@(param|return)/ {
    listed = /@(param|return)/ || (listed && !/^ \*$/)
    was_code = 0
}
/^ \*     / && !listed {
    if (!was_code)
        print " *"
    was_code = 1
}
# Not HTML, and no link.
!was_code && /^ *\/?\*/ {
    while (match($0, /<[a-z_]+>/))
        $0 = substr($0, 1, RSTART - 1) "\\<" substr($0, RSTART + 1, RLENGTH - 2) "\\>" \
            substr($0, RSTART + RLENGTH)
}
{ print }
