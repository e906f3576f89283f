/* ito-physics from outside: it learns, draws, and says what is wrong. */
#include "tests/examples/cli.h"

#include "tensor/io/image.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void enter(void)
{
    cli_enter();
    program = "ito-physics";
}

TestSuite(cli_physics, .init = enter, .fini = cli_leave, .timeout = 600);

/* The last word of the line that a run prints. */
static double error_after(const char *arguments)
{
    succeeds(run("%s --width 24 --layers 2 --batch 256 --lr 0.03", arguments));
    const char *word = strrchr(said, ' ');
    cr_assert_not_null(word, "%s", said);
    return atof(word);
}

Test(cli_physics, burgers_comes_nearer_to_the_solution)
{
    double before = error_after("burgers --steps 1 --viscosity 0.1");
    double after = error_after("burgers --steps 200 --viscosity 0.1 --out b.png");
    cr_expect_lt(after, 0.3 * before, "%g, then %g", before, after);
    ito_tensor *picture = ito_image_load("b.png", 3);
    cr_assert_not_null(picture);
    cr_expect(ito_size(picture, 1) == 256 && ito_size(picture, 2) == 3 * 256 + 16);
    cr_expect(there("burgers.png"));
}

Test(cli_physics, score_comes_nearer_to_the_score)
{
    double before = error_after("score --steps 1");
    double after = error_after("score --steps 300 --out s.png");
    double sliced = error_after("score --steps 300 --sliced");
    cr_expect_lt(after, 0.7 * before, "%g, then %g", before, after);
    cr_expect_lt(sliced, 0.8 * before, "%g, then %g", before, sliced);
    cr_expect(there("s.png") && there("score.png"));
}

Test(cli_physics, says_what_is_wrong)
{
    is_usage_error("", "");
    is_usage_error("heat", "burgers|score");
    is_usage_error("score --viscosity 1", "--viscosity");
    is_usage_error("burgers --viscosity 0", "--viscosity: \"0\" is not a number from 0.001");
    is_usage_error("score --steps 1 --out a.txt",
                   "--out: a.txt: the name of a picture ends in .png, .jpg or .jpeg");
    fails_with(run("score --steps 1 --out nowhere/a.png"), "nowhere/a.png: cannot write it");
}
