# Takes the programs out of a Markdown file: block number i fenced ```c becomes PREFIX_i.c, and what
# it prints, the block fenced ```text next after it, PREFIX_i.txt (empty if there is none).
#     awk -v prefix=OUT/tutorial -v count=5 -f programs.awk tutorial.md
# A block fenced ```c recipe is the inside of a program, after what stands above its line "/* main */";
# one fenced ```cpp becomes PREFIX_cpp_i.cpp. Blocks with another fence, "```c fragment" for one, are
# only read. Fails unless there are `count` programs in C, and `count_cpp` in C++.

function begin(new_name, suffix) {
    name = new_name
    file = name suffix
    printf "" > (name ".txt")
    close(name ".txt")
    printed = 0
    body = main = ""
}

function line_number(n) { return "#line " n " \"" FILENAME "\"\n" }

/^```/ {
    if (file != "") { # the end of a block that is taken out
        if (recipe)
            body = "#include <ito/ito.h>\n#include <stdio.h>\n" main "int main(void)\n{\n" body \
                "if (ito_error_code() != ITO_OK)\n    fprintf(stderr, \"%s\\n\", ito_error());\n" \
                "return ito_error_code() != ITO_OK;\n}\n"
        printf "%s", body > file
        close(file)
        file = ""
        recipe = 0
    } else if (skipping)
        skipping = 0
    else if ($0 == "```c" || $0 == "```c recipe") {
        begin(prefix "_" ++programs, ".c")
        recipe = $0 == "```c recipe"
        body = line_number(FNR + 1)
    } else if ($0 == "```cpp") {
        begin(prefix "_cpp_" ++programs_cpp, ".cpp")
        body = line_number(FNR + 1)
    } else if ($0 == "```text" && name != "" && !printed) {
        file = name ".txt"
        printed = 1
        body = ""
    } else
        skipping = 1
    next
}

recipe && $0 == "/* main */" {
    main = body
    body = line_number(FNR + 1)
    next
}
file != "" { body = body $0 "\n" }

END {
    if (programs != count + 0 || programs_cpp != count_cpp + 0) {
        printf "%s: %d programs and %d in C++, but tests/docs/meson.build says %d and %d\n", FILENAME, \
            programs, programs_cpp, count, count_cpp > "/dev/stderr"
        exit 1
    }
}
