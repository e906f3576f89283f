/* Completion in real shells, and man pages. */
#include "tests/examples/cli.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(cli_completion, .init = cli_enter, .fini = cli_leave, .timeout = 120);

/* Cut each line of what was said at its tab, where it tells what is offered. */
static void drop_meanings(void)
{
    char *to = said;
    bool keep = true;
    for (const char *from = said; *from != '\0'; from++) {
        keep = *from == '\n' || (keep && *from != '\t');
        if (keep)
            *to++ = *from;
    }
    *to = '\0';
}

/* What the last of the words becomes, a line each. */
static void offers(const char *words, const char *lines)
{
    succeeds(run("complete %s", words));
    drop_meanings();
    cr_expect_str_eq(said, lines, "%s: %s", words, said);
}

static bool has_line(const char *text, const char *line)
{
    size_t length = strlen(line);
    for (const char *at = text; (at = strstr(at, line)) != NULL; at += length)
        if ((at == text || at[-1] == '\n') && at[length] == '\n')
            return true;
    return false;
}

Test(cli_completion, commands_are_offered)
{
    offers("sa", "sample\n");
    offers("help sa", "sample\n");
    offers("man enc", "encode\n");
    offers("--v", "--version\n");
    offers("xyz", "");
    succeeds(run("complete ''"));
    drop_meanings();
    cr_expect(has_line(said, "train") && has_line(said, "help"), "%s", said);
    cr_expect(!has_line(said, "complete"), "%s", said);
    succeeds(run("complete tra"));
    cr_expect_str_eq(said, "train\tlearn from images; leaves a run directory, goes on with one\n");
}

Test(cli_completion, options_and_their_values_are_offered)
{
    offers("train --sample-c", "--sample-count\n");
    offers("train --data x --qui", "--quiet\n");
    offers("sample --sampler uni", "unipc\nunipc3\n");
    offers("train --preset ''", "small\ncifar10\nlsun256\n");
    offers("train --data m", "mnist:\n");
    offers("train --batch ''", "32\n"); /* the default */
    offers("train --precision b", "bf16\n");
    offers("train --optimiser radam", "radam\n"); /* another name of --optimizer */
    offers("train --precision=b", "--precision=bf16\n");
    offers("train --precision = b", "bf16\n"); /* as bash breaks it */
    offers("train --precision =", "f32\nbf16\n");
    offers("completion z", ""); /* an argument: any text */
    offers("train --out a", "");
    offers("train --data mnist : /tm", "");
    offers("frob --x", "");
}

/* Of each program that is installed, with commands and without. */
Test(cli_completion, other_programs_complete_too)
{
    program = "ito-classifier";
    offers("tr", "train\n");
    offers("train --ep", "--epochs\n");
    program = "ito-toy";
    offers("--reci", "--recipe\n");
    offers("--data moo", "moons\n");
    offers("--n 3 --qui", "--quiet\n");
    offers("''", "");
}

/* Each candidate is valid: the program takes it. */
Test(cli_completion, what_is_offered_is_accepted)
{
    static char names[sizeof said];
    succeeds(run("complete train --schedule ''"));
    drop_meanings();
    memcpy(names, said, sizeof names);
    for (char *name = strtok(names, "\n"); name != NULL; name = strtok(NULL, "\n")) {
        run("train --out r --schedule %s", name);
        cr_expect_not_null(strstr(complained, "--data is missing"), "%s: %s", name, complained);
    }
}

/* ---- in shells ---- */

/* bin/ito-ddpm: the program for what the shell asks of it; other command lines it writes to "ran".
 */
static void make_recorder(void)
{
    cr_assert_eq(system("mkdir -p bin && cat >bin/ito-ddpm <<'END' && chmod +x bin/ito-ddpm\n"
                        "#!/bin/sh\n"
                        "case $1 in\n"
                        "complete | completion) exec \"$ITO_DDPM\" \"$@\" ;;\n"
                        "esac\n"
                        "echo \"$*\" >>ran\n"
                        "END"),
                 0);
}

/* What ran after this was typed in bash, "\t" being the Tab key. */
static void bash_runs(const char *typed, const char *ran)
{
    char keys[1024], got[1024];
    snprintf(keys, sizeof keys,
             "PATH=\"$PWD/bin:$PATH\"; source <(ito-ddpm completion bash); : >ran\n%s\nexit\n",
             typed);
    run_in_terminal("dumb", "bash --norc --noprofile -i", keys);
    slurp("ran", got, sizeof got);
    cr_expect_str_eq(got, ran, "%s: %s", typed, said);
}

Test(cli_completion, bash_completes_commands_options_choices_and_files)
{
    make_recorder();
    bash_runs("ito-ddpm tra\t --qui\t", "train --quiet\n");
    bash_runs("ito-ddpm sample --sampler he\t --n 3", "sample --sampler heun --n 3\n");
    bash_runs("ito-ddpm sample --precision=bf\t", "sample --precision=bf16\n");
    bash_runs("ito-ddpm train --data mn\t/tmp", "train --data mnist:/tmp\n"); /* no space */
    bash_runs("ito-ddpm train --data npy:dat\t", "train --data npy:data.npy\n");
    bash_runs("ito-ddpm info dat\t", "info data.npy\n");
    bash_runs("bin/ito-ddpm inf\t data.npy", "info data.npy\n");
}

/* What is installed to test with. */
static bool has_program(const char *name)
{
    char command[64];
    snprintf(command, sizeof command, "command -v %s >/dev/null", name);
    return system(command) == 0;
}

Test(cli_completion, fish_completes)
{
    if (!has_program("fish"))
        cr_skip_test("fish is not installed");
    make_recorder();
    cr_assert_eq(system("PATH=\"$PWD/bin:$PATH\" HOME=$PWD fish -N -c 'ito-ddpm completion fish | "
                        "source; complete -C \"ito-ddpm sample --sampler he\"; complete -C "
                        "\"ito-ddpm tra\"; complete -C \"ito-ddpm info dat\"' | cut -f1 >got"),
                 0);
    char got[1024];
    slurp("got", got, sizeof got);
    cr_expect_str_eq(got, "heun\ntrain\ndata.npy\n");
}

Test(cli_completion, zsh_completes)
{
    if (!has_program("zsh"))
        cr_skip_test("zsh is not installed");
    make_recorder();
    char got[1024];
    put_file(".zshrc", "PATH=\"$PWD/bin:$PATH\"\nautoload -U compinit; compinit -u -D\n"
                       "source <(ito-ddpm completion zsh); : >ran\n");
    run_in_terminal("dumb", "env ZDOTDIR=\"$PWD\" zsh -i",
                    "ito-ddpm tra\t --qui\t\nito-ddpm sample --sampler he\t --n 3\n"
                    "ito-ddpm info dat\t\nexit\n");
    slurp("ran", got, sizeof got);
    cr_expect_str_eq(got, "train --quiet\nsample --sampler heun --n 3\ninfo data.npy\n", "%s",
                     said);
}

Test(cli_completion, a_shell_is_named)
{
    is_usage_error("completion",
                   "ito-ddpm completion: bash, zsh or fish is missing: which shell it is for\n");
    is_usage_error("completion bsh", "ito-ddpm completion: --shell: \"bsh\" is none of "
                                     "bash|zsh|fish; did you mean bash?\n");
    is_usage_error("completion zsh --shell zsh", "ito-ddpm completion: \"zsh\" is one argument too "
                                                 "many: --shell says it already\n");
}

/* ---- man pages ---- */

/* What was said has a line that begins with this and goes on with the program's name. */
static void names_itself(const char *before)
{
    char line[128], *end = stpcpy(line, before);
    for (const char *p = program; *p != '\0'; p++)
        end = stpcpy(end, *p == '-' ? "\\-" : (char[]){*p, '\0'});
    cr_expect_not_null(strstr(said, line), "%s: %s", line, said);
}

/* The page of the command; groff has nothing to say of it, if it is there. */
static void page_is_good(const char *command)
{
    succeeds(run("man %s", command));
    cr_expect_eq(strncmp(said, ".TH \"ito", 8), 0, "%s", said);
    names_itself("\n.SH NAME\n");
    names_itself("\n.SH SYNOPSIS\n.B ");
    if (!has_program("groff"))
        return;
    cr_assert_eq(rename("stdout.txt", "page.1"), 0);
    cr_expect_eq(system("groff -ww -man -Tutf8 -z page.1 >warnings 2>&1 && test ! -s warnings"), 0,
                 "%s", command);
}

Test(cli_completion, every_command_has_a_man_page)
{
    static char names[sizeof said];
    succeeds(run("complete ''"));
    drop_meanings();
    memcpy(names, said, sizeof names);
    page_is_good("");
    int n = 0;
    for (char *rest = names, *name; strcmp(name = strsep(&rest, "\n"), "help") != 0; n++)
        page_is_good(name);
    cr_expect_geq(n, 17);
    succeeds(run("man sample"));
    cr_expect_not_null(strstr(said, "\n.TP\n\\fB\\-\\-sampler\\fR \\fINAME\\fR\n"), "%s", said);
    cr_expect_not_null(strstr(said, "\n.SS \"Choices of \\-\\-sampler\"\n"), "%s", said);
    is_usage_error("man sampel",
                   "ito-ddpm: there is no command \"sampel\"; did you mean sample?\n");
}

Test(cli_completion, other_programs_have_man_pages_too)
{
    program = "ito-classifier";
    page_is_good("");
    cr_expect_null(strstr(said, "complete"), "%s", said);
    page_is_good("train");
    cr_expect_not_null(strstr(said, "\n.TP\n\\fB\\-\\-epochs\\fR"), "%s", said);
    program = "ito-toy";
    page_is_good("");
    cr_expect_not_null(strstr(said, "\n.TP\n\\fB\\-\\-recipe\\fR"), "%s", said);
    cr_expect_null(strstr(said, "\n.SH SEE ALSO\n"), "%s", said);
}
