# Takes the programs out of a Markdown file: block number i fenced ```c becomes PREFIX_i.c, and what
# it prints, the block fenced ```text next after it, PREFIX_i.txt (empty if there is none).
#     awk -v prefix=OUT/tutorial -v count=5 -f programs.awk tutorial.md
# Blocks with another fence, "```c fragment" for one, are only read. Fails unless there are `count`.

/^```/ {
    if (file != "") { # the end of a block that is taken out
        close(file)
        file = ""
    } else if (skipping)
        skipping = 0
    else if ($0 == "```c") {
        programs++
        file = prefix "_" programs ".c"
        printf "#line %d \"%s\"\n", FNR + 1, FILENAME > file
        printf "" > (prefix "_" programs ".txt")
        close(prefix "_" programs ".txt")
        printed = 0
    } else if ($0 == "```text" && programs > 0 && !printed) {
        file = prefix "_" programs ".txt"
        printed = 1
        printf "" > file
    } else
        skipping = 1
    next
}

file != "" { print > file }

END {
    if (programs != count) {
        printf "%s: %d programs, but tests/docs/meson.build says %d\n", FILENAME, programs, count \
            > "/dev/stderr"
        exit 1
    }
}
