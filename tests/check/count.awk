# Counts the tests in Meson's testlog.txt; the last line of ./run test: "N passed, N failed".
#
# A program named test_* is a Criterion one: its own summary counts, so a program without one (it
# crashed before) is one failure, and so is one that failed although all its tests passed (a leak
# found at exit). Any other program is one test. A program that Meson never came to has failed.

function finish_program() {
    if (!open)
        return
    open = 0
    fine = result == "exit status 0"
    if (command ~ /(^|\/)test_[^\/ ]*$/) {
        if (tested < 1)
            complain("no summary")
        else {
            passed += passing
            failed += tested - passing
            if (tested == passing && !fine)
                complain("all its tests passed")
        }
    } else if (fine)
        passed++
    else if (result != "exit status 77") # skipped
        complain("failed")
}

function complain(what) {
    failed++
    printf "%s: %s, %s\n", name, what, result
}

/^=+ [0-9]+\/[0-9]+ =+$/ {
    finish_program()
    split($2, number, "/")
    total = number[2]
    programs++
    open = header = 1
    name = result = command = ""
    tested = passing = 0
    next
}

header && /^test: /    { name = $0; sub(/^test: +/, "", name) }
header && /^result: /  { result = $0; sub(/^result: +/, "", result) }
header && /^command: / { command = $0; sub(/ *$/, "", command) }
/^-+ [a-z]+ -+$/       { header = 0 }

open && /Synthesis: Tested:/ {
    gsub(/\033\[[0-9;]*m/, "")
    tested = number_after("Tested: ")
    passing = number_after("Passing: ")
}

function number_after(label) {
    return substr($0, index($0, label) + length(label)) + 0
}

END {
    finish_program()
    if (programs == 0 || programs < total) {
        failed += total > 0 ? total - programs : 1
        print "not every test program was run"
    }
    printf "%d passed, %d failed\n", passed, failed
    exit failed > 0
}
