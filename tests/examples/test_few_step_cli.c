/* ito-few-step from outside: students come close to their teachers, ito-ddpm takes them, points
 * reach the moons, and what cannot be a teacher is refused. */
#include "tests/examples/cli.h"

#include "autograd/ops.h"
#include "tensor/io/npy.h"
#include "tensor/io/safetensors.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Images as Fashion-MNIST's files. */
static void write_set(int64_t side)
{
    ito_generator g = ito_generator_make(1, 1);
    ito_shape shape = ITO_SHAPE(40, side, side);
    write_idx("train-images-idx3-ubyte", ito_randint(&g, 0, 256, shape, ITO_U8));
    write_idx("train-labels-idx1-ubyte", ito_randint(&g, 0, 10, ITO_SHAPE(40), ITO_U8));
}

static void enter(void)
{
    cli_enter();
    write_set(8);
}

TestSuite(cli_few_step, .init = enter, .fini = cli_leave, .timeout = 600);

#define SMALL "--data . --batch 4 --precision f32 "

/* A file with a tiny network that learned next to nothing; words are more of ito-ddpm train's. */
static void make_teacher(const char *path, const char *words)
{
    program = "ito-ddpm";
    train_tiny("run", words);
    succeeds(run("export --model run --out %s --dtype f32", path));
    cr_assert_eq(system("rm -r run"), 0);
    program = "ito-few-step";
}

/* The images of a network in so many steps of ddim. */
static ito_tensor *images(const char *path, int steps)
{
    program = "ito-ddpm";
    succeeds(run("sample --model %s --npy images.npy --n 16 --sampler ddim "
                 "--steps %d",
                 path, steps));
    program = "ito-few-step";
    return ito_npy_load("images.npy");
}

static double distance(ito_tensor *a, ito_tensor *b)
{
    return ito_item(ito_mean(ito_square(ito_sub(a, b))));
}

Test(cli_few_step, two_steps_of_a_distilled_student_do_what_eight_of_its_teacher_do)
{
    make_teacher("t.safetensors", "--steps 100 --lr 0.02 --prediction v " QUIET);
    ito_tensor *wanted = images("t.safetensors", 8);
    double before = distance(images("t.safetensors", 2), wanted);
    const char *how = "distillation --teacher t.safetensors " SMALL "--grid 8 --lessons 400 "
                      "--steps 300 --ema 0.9 --lr 0.005";
    succeeds(run("%s --ratio 4 --out a.safetensors", how));
    double one_round = distance(images("a.safetensors", 2), wanted);
    cr_expect_lt(one_round, 0.3 * before, "%g, before %g", one_round, before);
    succeeds(run("%s --ratio 2 --out b.safetensors", how));
    /* The second round's teacher is the student of the first, who took four steps for eight. A
     * student of the first teacher's four would be five times as far from its eight as from them.
     */
    ito_tensor *student = images("b.safetensors", 2);
    double from_8 = distance(student, wanted),
           from_4 = distance(student, images("t.safetensors", 4));
    cr_expect_lt(from_8, 0.3 * before, "%g, before %g", from_8, before);
    cr_expect_lt(from_8, 2.5 * from_4, "%g, and %g", from_8, from_4);
    succeeds(run("%s --ratio 4 --out c.safetensors --threads 1", how));
    cr_expect(same_file("a.safetensors", "c.safetensors"));
}

Test(cli_few_step, consistency_models_train_by_either_pairs)
{
    make_teacher("t.safetensors", "--steps 2 --prediction x_0 " QUIET);
    const char *how = "consistency --teacher t.safetensors " SMALL "--steps 4 --grid 4";
    succeeds(run("%s --out a.safetensors", how));
    cr_expect_not_null(strstr(complained, "ito-ddpm sample --model a.safetensors --sampler ddim "
                                          "--eta 1 --steps 2"),
                       "%s", complained);
    succeeds(run("%s --out b.safetensors --pairs teacher", how));
    cr_expect_not(same_file("a.safetensors", "b.safetensors"));
    succeeds(run("%s --out c.safetensors --pairs teacher --threads 1", how));
    cr_expect(same_file("b.safetensors", "c.safetensors"));
    images("a.safetensors", 2);
    succeeds(run("%s --out d.safetensors --ema 0", how));
    cr_expect_not(same_file("a.safetensors", "d.safetensors"), "the averages are the student");
}

Test(cli_few_step, the_teacher_that_comes_with_it_has_classes)
{
    program = "ito-few-step";
    write_set(28);
    succeeds(run("distillation --data . --grid 4 --ratio 2 --lessons 4 --batch 2 --steps 1 "
                 "--out a.safetensors"));
    program = "ito-ddpm";
    succeeds(run("sample --model a.safetensors --class boot --sampler ddim --steps 2 --n 2 "
                 "--out boots.png"));
}

static double first_distance(const char *arguments)
{
    succeeds(run("%s --n 500 --batch 128 --width 32", arguments));
    const char *words = strstr(said, "1 step: distance ");
    cr_assert_not_null(words, "%s", said);
    return atof(words + strlen("1 step: distance "));
}

Test(cli_few_step, one_step_reaches_the_moons)
{
    program = "ito-few-step";
    double before = first_distance("mean-flow --steps 1");
    double shortcut = first_distance("shortcut --steps 500 --lr 0.01 --out a.png");
    double mean_flow = first_distance("mean-flow --steps 500 --lr 0.01");
    cr_expect_lt(shortcut, 0.4 * before, "%g, before %g", shortcut, before);
    cr_expect_lt(mean_flow, 0.5 * before, "%g, before %g", mean_flow, before);
    cr_expect(there("a.png"));
}

/* Of the built-in teacher, whose images are 28x28. */
Test(cli_few_step, a_teacher_of_other_images_is_refused)
{
    program = "ito-few-step";
    fails_with(run("distillation " SMALL),
               "fashion-mnist: the teacher's images are 28x28 with 1 channel, and those of . are "
               "8x8 with 1");
}

static void is_refused(const char *words, const char *why)
{
    make_teacher("t.safetensors", words);
    fails_with(run("consistency --teacher t.safetensors " SMALL), why);
}

Test(cli_few_step, a_network_that_cannot_be_a_teacher_is_refused)
{
    is_refused("--steps 1 --prediction score " QUIET,
               "t.safetensors: it cannot be the teacher: it predicts none of v, x_0 and eps");
    is_refused("--steps 1 --variance learned_range " QUIET,
               "t.safetensors: it cannot be the teacher: its variance is learned, and few steps "
               "have no use for that");
    is_refused("--steps 1 --self-conditioning " QUIET,
               "t.safetensors: it cannot be the teacher: it takes its own last estimate, which a "
               "single step has not");
}

/* Where noise / signal is in the interval, and nowhere else. */
Test(cli_few_step, a_student_learns_the_guidance_of_its_teacher)
{
    write_set(28);
    program = "ito-few-step";
    const char *how =
        "distillation --data . --batch 2 --lessons 4 --steps 2 --precision f32 --grid 4 "
        "--ratio 2";
    succeeds(run("%s --guidance 1 --out a.safetensors", how));
    succeeds(run("%s --guidance 3 --out b.safetensors", how));
    succeeds(run("%s --guidance 3 --sigma-lo 1e5 --sigma-hi 1e6 --out c.safetensors", how));
    cr_expect(!same_file("a.safetensors", "b.safetensors"));
    cr_expect(same_file("a.safetensors", "c.safetensors"));
    is_usage_error("distillation --data . --sigma-lo 3 --sigma-hi 1",
                   "--sigma-lo: 3 is not below --sigma-hi, 1");
}

Test(cli_few_step, what_else_is_wrong_is_said)
{
    program = "ito-few-step";
    is_usage_error("", "distillation|consistency|shortcut|mean-flow");
    is_usage_error("shorten", "distillation|consistency|shortcut|mean-flow");
    is_usage_error("consistency --ratio 2", "--ratio");
    fails_with(run("consistency --data . --teacher train-images-idx3-ubyte"),
               "train-images-idx3-ubyte: ");
    fails_with(run("consistency --data . --out nowhere/a.safetensors"),
               "nowhere/a.safetensors: cannot write it: No such file or directory");
    is_usage_error("consistency --data . --out a",
                   "--out: a: the name of a file of a network ends in .safetensors");
    is_usage_error("shortcut --out a.txt",
                   "--out: a.txt: the name of a picture ends in .png, .jpg or .jpeg");
    fails_with(run("shortcut --out nowhere/a.png"), "nowhere/a.png: cannot write it");
    fails_with(run("consistency --data nowhere"), "nowhere/train-images-idx3-ubyte");
    make_teacher("t.safetensors", "--steps 1 " QUIET);
    is_usage_error("distillation --teacher t.safetensors " SMALL "--grid 12 --ratio 3",
                   "--grid: 12 steps do not become 2 when they are divided by 3, and again");
    program = "ito-ddpm";
    write_classes();
    succeeds(run(FOLDER "--out r --steps 1 --conditional " QUIET));
    succeeds(run("export --model r --out two.safetensors"));
    program = "ito-few-step";
    fails_with(run("consistency --teacher two.safetensors " SMALL),
               "two.safetensors: the teacher knows 2 classes, and . has 10");
    ito_tensor *x = ito_zeros(ITO_SHAPE(2), ITO_F32);
    const char *name = "x";
    cr_assert_eq(ito_safetensors_save("plain.safetensors", 1, &name, &x, 0, NULL, NULL), ITO_OK);
    fails_with(
        run("consistency --teacher plain.safetensors " SMALL),
        "plain.safetensors: neither the file nor a state.json beside it says what network it "
        "is for");
}
