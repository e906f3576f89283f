/* ito-gpt from outside: it learns a text by heart, goes on with it, and says what is wrong. */
#include "tests/examples/cli.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SMALL                                                                                      \
    "--text rhyme --context 16 --layers 1 --heads 2 --width 16 --batch 8 --steps 120 --lr 0.2 "    \
    "--dropout 0 --temperature 0 --length 30 --prompt abcd "

static void enter(void)
{
    char rhyme[1201];
    cli_enter();
    program = "ito-gpt";
    for (int i = 0; i < 1200; i++)
        rhyme[i] = "abcdeafg"[i % 8];
    rhyme[1200] = '\0';
    put_file("rhyme", rhyme);
}

TestSuite(cli_gpt, .init = enter, .fini = cli_leave, .timeout = 600);

/* After an a there is a b or an f, which the two characters before decide. */
static const char went_on[] = "abcdeafgabcdeafgabcdeafgabcdeafgab\n";

static double held_out(void)
{
    const char *words = strstr(complained, "held out: ");
    cr_assert_not_null(words, "%s", complained);
    return atof(words + strlen("held out: "));
}

Test(cli_gpt, learns_a_rhyme_and_goes_on_with_it)
{
    succeeds(run(SMALL "--out a.safetensors"));
    cr_expect_str_eq(said, went_on);
    cr_expect_lt(held_out(), 0.05);
    double nats = held_out();
    succeeds(run(SMALL "--model a.safetensors"));
    cr_expect_str_eq(said, went_on);
    cr_expect_eq(held_out(), nats);
    succeeds(run(SMALL "--model a.safetensors --no-cache"));
    cr_expect_str_eq(said, went_on);
    succeeds(run(SMALL "--out b.safetensors --threads 1"));
    cr_expect(same_file("a.safetensors", "b.safetensors"));
    succeeds(run(SMALL "--out c.safetensors --positions learned --seed 1"));
    cr_expect_lt(held_out(), 0.05);
    cr_expect_str_eq(said, went_on);
}

Test(cli_gpt, says_what_is_wrong)
{
    is_usage_error("--text rhyme --context 120 --steps 1",
                   "ito-gpt: rhyme: a tenth of its 1200 characters is no more than --context, 120");
    is_usage_error(SMALL "--prompt x", "ito-gpt: --prompt: \"x\" is not in rhyme");
    is_usage_error(SMALL "--heads 3",
                   "ito-gpt: multi_head_attention: 16 features do not form 3 heads");
    fails_with(run("--text prose"), "ito-gpt: prose: cannot read it");
    fails_with(run(SMALL "--out nowhere/a.safetensors"),
               "nowhere/a.safetensors: cannot write it: No such file or directory");
    is_usage_error(SMALL "--out a.png",
                   "--out: a.png: the name of a file of a network ends in .safetensors");
    fails_with(run(SMALL "--model no.safetensors"), "ito-gpt: no.safetensors: ");
    if (access("/usr/share/dictd/devil.dict.dz", F_OK) != 0)
        fails_with(run("--steps 1"), "ito-gpt: /usr/share/dictd/devil.dict.dz is not there: apt "
                                     "install dict-devil, or --text FILE");
}
