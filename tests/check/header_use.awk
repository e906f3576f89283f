# A program that uses each macro with options, from the public headers that are given: with none of
# its options, with one and with all, which take their values from a variable of the same type. Also
# C++ before C++20, which has no designated initialisers, has the uses without options.
#     awk -f header_use.awk HEADERS

{ # comments go
    rest = $0
    $0 = ""
    while (rest != "") {
        at = index(rest, commented ? "*/" : "/*")
        if (!commented)
            $0 = $0 (at ? substr(rest, 1, at - 1) : rest)
        if (!at)
            break
        rest = substr(rest, at + 2)
        commented = !commented
    }
}

# A macro over several lines is one line.
/\\$/ { text = text substr($0, 1, length($0) - 1); next }
{ text = text $0 }

text ~ /^#define ito_[a-z0-9_]*\(\.\.\.\)/ && match(text, /ITO_CALL_[0-9][A-Z_]*\([a-z0-9_]+, +[a-z0-9_]+/) {
    call = substr(text, RSTART, RLENGTH)
    gsub(/ITO_CALL_[0-9][A-Z_]*\(|,/, " ", call)
    split(call, part)
    name = text
    sub(/^#define /, "", name)
    sub(/\(.*/, "", name)
    macros[++count] = name
    function_of[name] = part[1]
    type_of[name] = part[2]
}

# ito_values wants a number at least.
text ~ /^#define ito_/ && text !~ /^#define ito_values/ && (text ~ /ITO_OPTIONS\(/ || text ~ /, \.\.\.\)/) {
    print FILENAME ": not by ITO_CALL_1 or its kind (tensor/options.h): " text >"/dev/stderr"
    failed = 1
}

text ~ /^typedef struct [a-z0-9_]+ \{$/ { type = $3; inside = 1; text = field = ""; next }
/^}/ { inside = 0 }
inside { # a field, over one line or several
    field = field text
    if (field ~ /;/) {
        sub(/ *ITO_DEFAULT\(.*/, "", field)
        sub(/;.*/, "", field)
        if (match(field, /\(\*[a-z0-9_]+\)/)) # of a function
            field = substr(field, RSTART + 2, RLENGTH - 3)
        sub(/.*[ *]/, "", field)
        if (field != "reserved_")
            fields[type] = fields[type] " " field
        field = ""
    }
}

# A prototype over several lines is one string.
text ~ /^ITO_API / { prototype = ""; reading = 1 }
reading {
    prototype = prototype " " text
    if (text ~ /;/) {
        reading = 0
        sub(/;.*/, "", prototype)
        head = prototype
        sub(/\(.*/, "", head)
        sub(/.*[ *]/, "", head)
        sub(/^[^(]*\(/, "", prototype)
        sub(/\)[^)]*$/, "", prototype)
        parameters[head] = prototype
    }
}
{ text = "" }

function name_of(parameter) {
    sub(/ *$/, "", parameter)
    sub(/.*[ *]/, "", parameter)
    return parameter
}

# ".name = options.name"; an array gets its first element.
function given(field, options) {
    if (!sub(/\[.*/, "", field))
        return "." field " = " options "." field
    return "." field " = {" options "." field "[0]}"
}

END {
    if (failed)
        exit 1
    print "#if !defined(__cplusplus) || __cplusplus >= 202002L"
    print "#define DESIGNATED(...) __VA_ARGS__"
    print "#else"
    print "#define DESIGNATED(...)"
    print "#endif"
    for (i = 1; i <= count; i++) {
        name = macros[i]
        type = type_of[name]
        if (!(function_of[name] in parameters) || fields[type] == "") {
            print name ": no prototype of " function_of[name] " or no fields of " type >"/dev/stderr"
            exit 1
        }
        n = split(parameters[function_of[name]], p, ",")
        arguments = ""
        for (k = 1; k <= n; k++)
            if (p[k] !~ ("(^| )" type " "))
                arguments = arguments (arguments == "" ? "" : ", ") name_of(p[k])
            else
                options = name_of(p[k])
        m = split(fields[type], f, " ")
        all = ""
        for (k = 1; k <= m; k++)
            all = all (k == 1 ? "" : ", ") given(f[k], options)
        comma = arguments == "" ? "" : ", "
        print "void use_" name "(" parameters[function_of[name]] ");"
        print "void use_" name "(" parameters[function_of[name]] ")\n{"
        print "    " options " = ITO_OPTIONS(" type ");"
        print "    (void)" name "(" arguments ");"
        print "    DESIGNATED(" options " = ITO_OPTIONS(" type ", " given(f[1], options) ");)"
        print "    DESIGNATED((void)" name "(" arguments comma given(f[1], options) ");)"
        print "    DESIGNATED((void)" name "(" arguments comma all ");)"
        print "}"
    }
    if (count == 0) {
        print "no macro with options found" >"/dev/stderr"
        exit 1
    }
}
