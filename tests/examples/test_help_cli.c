/* What the programs say of themselves: --help, --version, and how it looks in a terminal. */
#include "tests/examples/cli.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(cli_help, .init = cli_enter, .fini = cli_leave, .timeout = 600);

/* All lines have at most 79 columns; they are ASCII, so that bytes are columns. */
static void fits(const char *what, const char *text)
{
    for (const char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        cr_expect(length < 80, "%s: %zu columns: %.*s", what, length, (int)length, line);
        for (size_t i = 0; i < length; i++)
            cr_expect(isprint((unsigned char)line[i]), "%s: %.*s", what, (int)length, line);
        line += length + (line[length] == '\n');
    }
}

/* The names of the commands that --help of the program lists; how many. */
static int list_commands(char names[32][32])
{
    int n = 0;
    succeeds(run("--help"));
    const char *line = strstr(said, "\nCommands\n");
    cr_assert_not_null(line, "%s: %s", program, said);
    line += strlen("\nCommands\n");
    for (; line[0] == ' ' && n < 32; line += strcspn(line, "\n") + 1)
        n += line[2] != ' ' && sscanf(line, "  %31[a-z-] ", names[n]) == 1;
    return n;
}

/* The help of the command fits, of which --help-all has as many lines or more. */
static void help_fits(const char *command)
{
    char what[64];
    snprintf(what, sizeof what, "%s %s", program, command);
    succeeds(run("%s --help", command));
    fits(what, said);
    int lines = count_lines(said);
    cr_expect_not_null(strstr(said, "\n  --help "), "%s: %s", what, said);
    succeeds(run("%s --help-all", command));
    fits(what, said);
    cr_expect_geq(count_lines(said), lines - 2, "%s", what); /* it says how many are left out */
    cr_expect_str_empty(complained);
}

static void all_help_fits(void)
{
    static const char *const programs[] = {"ito-ddpm", "ito-classifier", "ito-few-step",
                                           "ito-physics"},
                             *const plain[] = {"ito-toy",   "ito-dit", "ito-latent", "ito-vae",
                                               "ito-audio", "ito-gpt", "ito-flow"};
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        char names[32][32];
        program = programs[i];
        int n = list_commands(names);
        cr_assert_geq(n, 2, "%s: %s", program, said);
        fits(program, said);
        for (int k = 0; k < n; k++)
            help_fits(names[k]);
    }
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        program = plain[i];
        help_fits("");
    }
}

Test(cli_help, every_help_fits_a_terminal_of_80_columns)
{
    all_help_fits();
}

Test(cli_help, it_fits_whatever_the_environment_asks_for)
{
    setenv("ARGP_HELP_FMT", "rmargin=200", 1);
    setenv("COLUMNS", "300", 1);
    setenv("LC_ALL", "de_DE.UTF-8", 1);
    all_help_fits();
}

Test(cli_help, it_goes_to_stdout)
{
    static const char *const all[] = {
        "--help", "-h", "help", "train --help", "train -h", "sample --help", "info --help-all"};
    for (int i = 0; i < 7; i++) {
        succeeds(run("%s", all[i]));
        cr_assert_not_null(strstr(said, "Usage: ito-ddpm"), "%s", said);
        cr_assert_not_null(strstr(said, "Exit codes"), "%s", said);
        cr_assert_null(strchr(said, '\033'), "%s", said);
        cr_assert_str_empty(complained);
    }
}

Test(cli_help, of_a_command_can_be_asked_for_by_name)
{
    succeeds(run("help sample"));
    cr_assert_not_null(strstr(said, "--sampler"), "%s", said);
    is_usage_error("help sample x", "ito-ddpm: \"x\" is one argument too many\n");
    is_usage_error("--version x", "ito-ddpm: \"x\" is one argument too many\n");
}

Test(cli_help, the_rare_options_are_left_to_help_all)
{
    succeeds(run("train --help"));
    cr_expect_not_null(strstr(said, "\n  --data SPEC "), "%s", said);
    cr_expect_null(strstr(said, "\n  --ema-sigma-rel X "), "%s", said);
    cr_expect_not_null(strstr(said, "\nito-ddpm train --help-all lists "), "%s", said);
    succeeds(run("train --help-all"));
    cr_expect_not_null(strstr(said, "\n  --ema-sigma-rel X "), "%s", said);
    cr_expect_null(strstr(said, "--help-all lists"), "%s", said);
}

/* Choices that are too many for the option's line: names, and with --help-all what they are. */
Test(cli_help, long_choices_are_a_list_below)
{
    succeeds(run("sample --help"));
    cr_expect_not_null(strstr(said, "\n  --sampler NAME "), "%s", said);
    cr_expect_not_null(strstr(said, "\n--sampler is one of: ddpm, ddim, euler,"), "%s", said);
    succeeds(run("sample --help-all"));
    cr_expect_not_null(strstr(said, "\n--sampler is one of\n  ddpm           ancestral"), "%s",
                       said);
}

/* An example can be pasted: it is broken where the shell goes on with the next line. */
Test(cli_help, examples_can_be_pasted_and_sentences_are_filled)
{
    succeeds(run("interpolate --help"));
    cr_expect_not_null(strstr(said, "\n  ito-ddpm interpolate --model run --data fashion-mnist "
                                    "--first 3 --second 8 \\\n      --out grid.png\n"),
                       "%s", said);
    succeeds(run("sample --help"));
    cr_expect_not_null(strstr(said, "whatever --n, --batch\nand --threads are.\nExit codes: 0"),
                       "%s", said);
}

/* ---- --version ---- */

Test(cli_help, the_version_has_what_a_report_of_a_fault_needs)
{
    succeeds(run("--version"));
    cr_expect_eq(strncmp(said, "ito-ddpm 0.", 11), 0, "%s", said);
    cr_expect_not_null(strstr(said, "\ninstruction set "), "%s", said);
    cr_expect(strstr(said, "\ncompiler GCC ") != NULL || strstr(said, "\ncompiler Clang ") != NULL,
              "%s", said);
    setenv("ITO_ISA", "base", 1);
    succeeds(run("version"));
    cr_expect_not_null(strstr(said, "\ninstruction set base\n"), "%s", said);
    program = "ito-toy";
    succeeds(run("--version"));
    cr_expect_eq(strncmp(said, "ito-toy 0.", 10), 0, "%s", said);
}

/* meson/commit.sh prints the commit of a clone or a release, and fails for anything else. */
Test(cli_help, the_commit_is_that_of_the_sources_or_none)
{
    char text[256];
    if (system("command -v git >/dev/null") != 0)
        cr_skip_test("git is not installed");
    cr_assert_not_null(getenv("ITO_SOURCE"));
    setenv("HOME", ".", 1);
#define COMMIT "\"$ITO_SOURCE/meson/commit.sh\" "
    cr_expect_neq(system(COMMIT "\"$PWD\" >commit 2>git.txt"), 0); /* no clone */
    slurp("commit", text, sizeof text);
    cr_expect_str_empty(text);
    cr_assert_eq(
        system("git init -q clone && cd clone && mkdir tarball && : >tarball/file && git add . "
               "&& git -c user.name=a -c user.email=b commit -qm c"),
        0);
    cr_expect_eq(system(COMMIT "clone >commit"), 0);
    slurp("commit", text, sizeof text);
    cr_expect_eq(strspn(text, "0123456789abcdef"), strlen(text) - 1, "%s", text);
    cr_expect_neq(system(COMMIT "clone/tarball >commit"), 0); /* in a clone of something else */
    slurp("commit", text, sizeof text);
    cr_expect_str_empty(text);
    cr_expect_eq(system("echo >clone/tarball/file; " COMMIT "clone | grep -q -e '-dirty$'"), 0);
    cr_expect_eq(system("mkdir clone/tarball/meson && echo 1234abc >clone/tarball/meson/commit && "
                        "test $(" COMMIT "clone/tarball) = 1234abc"),
                 0); /* a release's (meson/dist.sh) */
}

/* ---- in a terminal ---- */

/* What the program says in a terminal of this kind, in said; its exit code. */
static int in_terminal(const char *term, const char *arguments)
{
    char command[1024];
    snprintf(command, sizeof command, "\"$ITO_DDPM\" %s", arguments);
    return run_in_terminal(term, command, "");
}

Test(cli_help, headings_are_bold_and_errors_red_in_a_terminal_alone)
{
    unsetenv("NO_COLOR");
    cr_expect_eq(in_terminal("xterm", "sample --help"), 0);
    cr_expect_not_null(strstr(said, "\033[1mUsage:\033[0m ito-ddpm sample"), "%s", said);
    cr_expect_eq(in_terminal("xterm", "sample --frob"), 2);
    cr_expect_not_null(strstr(said, "\033[1;31mito-ddpm sample:\033[0m there is no option --frob"),
                       "%s", said);
    cr_expect_eq(in_terminal("dumb", "sample --frob"), 2);
    cr_expect_null(strchr(said, '\033'), "%s", said);
    setenv("NO_COLOR", "", 1); /* an empty one does not count: no-color.org */
    cr_expect_eq(in_terminal("xterm", "--help"), 0);
    cr_expect_not_null(strchr(said, '\033'), "%s", said);
    setenv("NO_COLOR", "1", 1);
    cr_expect_eq(in_terminal("xterm", "--help"), 0);
    cr_expect_null(strchr(said, '\033'), "%s", said);
}

Test(cli_help, the_program_alone_prints_its_help_in_a_terminal)
{
    cr_expect_eq(in_terminal("dumb", ""), 2);
    cr_expect_not_null(strstr(said, "Usage: ito-ddpm COMMAND [OPTION...]"), "%s", said);
    cr_expect_not_null(strstr(said, "  train        learn from images"), "%s", said);
    is_usage_error("", "ito-ddpm: there is no command\n");
}

/* ---- --quiet ---- */

Test(cli_help, quiet_leaves_errors_alone)
{
    succeeds(run("train --data npy:data.npy --out r --steps 2 " TINY));
    cr_expect_str_not_empty(complained);
    succeeds(run("train --quiet --data npy:data.npy --out s --steps 2 " TINY " --json"));
    cr_expect_str_empty(complained);
    cr_expect_eq(number("step"), 2.0);
    succeeds(run("sample --quiet --model s --out s.png --n 2 --steps 2"));
    cr_expect_str_empty(complained);
    cr_expect(there("s.png"));
    fails_with(run("sample --quiet --model missing"), "missing: cannot open");
    cr_expect_eq(in_terminal("xterm", "sample --quiet --model s --n 2 --steps 2 --json"), 0);
    cr_expect_eq(said[0], '{', "%s", said); /* no bar */
}

/* ---- other names ---- */

/* A name that another command has for the same thing is accepted. */
Test(cli_help, one_scheme_of_names_holds_in_all_commands)
{
    train_tiny("r", "--steps 2 " QUIET);
    succeeds(run("sample --model r --output a.npy.png --count 2 --steps 2 --batch-size 1"));
    cr_expect(there("a.npy.png"));
    write_images("one.npy", 1, 8);
    succeeds(run("edit --model r --images one.npy --output b.png --count 1 --steps 2"));
    cr_expect(there("b.png"));
    succeeds(run("train --dataset npy:data.npy --output s --learning-rate 1e-3 --optimiser adam "
                 "--timestep-law uniform --steps 1 " TINY " " QUIET));
    cr_expect(there("s"));
    is_usage_error("sample --count x", "ito-ddpm sample: --n: \"x\" is not a whole number from 1 "
                                       "to 10000000\n");
    succeeds(run("sample --help-all"));
    cr_expect_null(strstr(said, "--count"), "%s", said);
}
