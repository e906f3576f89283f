/* Checkpoints: all or nothing, in writing and in reading, whatever goes wrong. */
#include "autograd/ops.h"
#include "nn/checkpoint.h"
#include "nn/layers.h"
#include "tensor/internal.h"
#include "tests/nn/nn_check.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>

typedef struct run {
    ito_module *model;
    ito_optimizer *opt;
    ito_ema *ema;
    ito_dropout_layer *drop;
    ito_generator noise;
    ito_training_state state;
    const char *names[1];
    ito_generator *generators[1];
    const char *tensor_names[2];
    ito_tensor *tensors[2]; /* f64 and i64 */
} run;

static run *begin(uint64_t seed)
{
    ito_generator g = ito_generator_make(seed, 0);
    run *r = calloc(1, sizeof *r);
    r->model = ito_sequential_create(NULL, "");
    ito_linear_create(r->model, "first", 3, 4, .generator = &g);
    r->drop = ito_dropout_create(r->model, "drop", 0.5, ito_generator_make(seed, 1));
    ito_linear_create(r->model, "last", 4, 1, .generator = &g);
    ito_module_buffer(r->model, "mean", ito_full(ITO_SHAPE(2), (double)seed, ITO_F64));
    r->opt = ito_adam_create(r->model);
    r->ema = ito_ema_create(r->model, .decay = 0.5);
    r->noise = ito_generator_make(UINT64_MAX - seed, 1ULL << 63); /* beyond what doubles hold */
    r->names[0] = "noise \"quoted\"";
    r->generators[0] = &r->noise;
    r->tensor_names[0] = "history";
    r->tensor_names[1] = "counts";
    r->tensors[0] = ito_retain(ito_full(ITO_SHAPE(3), 1.0 / (double)(seed + 2), ITO_F64));
    r->tensors[1] = ito_retain(ito_full(ITO_SHAPE(2), (double)seed, ITO_I64));
    r->state = (ito_training_state){.model = r->model,
                                    .optimizer = r->opt,
                                    .ema = r->ema,
                                    .n_generators = 1,
                                    .generator_names = r->names,
                                    .generators = r->generators,
                                    .n_tensors = 2,
                                    .tensor_names = r->tensor_names,
                                    .tensors = r->tensors,
                                    .settings = "{\"seed\": 18446744073709551615}"};
    cr_assert_eq(ito_error_code(), ITO_OK, "%s", ito_error());
    return r;
}

static void end(run *r)
{
    ito_release(r->tensors[0]);
    ito_release(r->tensors[1]);
    ito_ema_free(r->ema);
    ito_optimizer_free(r->opt);
    ito_module_free(r->model);
    free(r);
}

static void train(run *r, int steps)
{
    for (int i = 0; i < steps; i++) {
        ito_scope_begin();
        ito_tensor *x = ito_randn(&r->noise, ITO_SHAPE(8, 3), ITO_F32);
        ito_module_zero_grad(r->model);
        ito_tensor *y = ito_module_forward(r->model, x);
        cr_assert_eq(ito_backward(ito_mean(ito_square(y))), ITO_OK, "%s", ito_error());
        cr_assert_eq(ito_optimizer_step(r->opt, 0.01), ITO_OK);
        cr_assert_eq(ito_ema_update(r->ema), ITO_OK);
        ito_scope_end();
        r->state.step++;
        r->state.position += 8;
    }
}

static bool same_values(ito_tensor *a, ito_tensor *b)
{
    bool same = true;
    for (int64_t k = 0; same && k < ito_numel(a); k++)
        same = element(a, k) == element(b, k);
    return same;
}

static bool same_tensors(ito_named_tensors *a, ito_named_tensors *b)
{
    bool same = a->n == b->n;
    for (int64_t i = 0; same && i < a->n; i++)
        same = same_values(a->tensors[i], b->tensors[i]);
    ito_named_tensors_free(a);
    ito_named_tensors_free(b);
    return same;
}

static bool same_runs(const run *a, const run *b)
{
    return same_tensors(ito_module_state(a->model), ito_module_state(b->model)) &&
           same_tensors(ito_optimizer_state(a->opt), ito_optimizer_state(b->opt)) &&
           same_tensors(ito_ema_state(a->ema), ito_ema_state(b->ema)) &&
           same_values(a->tensors[0], b->tensors[0]) && same_values(a->tensors[1], b->tensors[1]) &&
           ito_optimizer_steps(a->opt) == ito_optimizer_steps(b->opt) &&
           ito_ema_updates(a->ema) == ito_ema_updates(b->ema) && a->state.step == b->state.step &&
           a->state.position == b->state.position &&
           memcmp(&a->noise, &b->noise, sizeof a->noise) == 0 &&
           memcmp(&a->drop->generator, &b->drop->generator, sizeof a->noise) == 0;
}

static int64_t entries(const char *dir)
{
    int64_t n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d))
        n += e->d_name[0] != '.';
    if (d != NULL)
        closedir(d);
    return n;
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

Test(checkpoint, a_tensor_or_name_that_is_null_is_refused_before_anything_happens)
{
    const char *dir = temporary_directory();
    run *a = begin(1), *b = begin(2), *untouched = begin(2);
    train(a, 2);
    cr_assert_eq(ito_checkpoint_save(dir, &a->state), ITO_OK, "%s", ito_error());
    char *path = ito_checkpoint_latest(dir);
    run *runs[] = {a, b};
    for (int i = 0; i < 2; i++) {
        run *r = runs[i];
        ito_tensor *counts = r->tensors[1];
        r->tensors[1] = NULL;
        r->state.step += 1;
        cr_assert_eq(i == 0 ? ito_checkpoint_save(dir, &r->state)
                            : ito_checkpoint_load(path, &r->state),
                     ITO_ERR_ARGUMENT);
        expect_error(ITO_ERR_ARGUMENT, "checkpoint: tensor \"counts\" is NULL");
        r->tensors[1] = counts;
        r->tensor_names[0] = NULL;
        cr_assert_eq(i == 0 ? ito_checkpoint_save(dir, &r->state)
                            : ito_checkpoint_load(path, &r->state),
                     ITO_ERR_ARGUMENT);
        expect_error(ITO_ERR_ARGUMENT, "checkpoint: the name of tensor 0 is NULL");
        r->state.step -= 1;
    }
    cr_assert_eq(entries(dir), 1);
    cr_assert(same_runs(b, untouched));
    free(path);
    end(a);
    end(b);
    end(untouched);
}

Test(checkpoint, a_run_that_is_resumed_equals_one_that_was_not)
{
    const char *dir = temporary_directory();
    char all[300];
    snprintf(all, sizeof all, "%.250s/checkpoints", dir); /* is made */
    run *a = begin(1), *b = begin(2);
    train(a, 3);
    cr_assert_eq(ito_checkpoint_save(all, &a->state), ITO_OK, "%s", ito_error());
    char *path = ito_checkpoint_latest(all);
    cr_assert_str_eq(path, in_directory(all, "step-3"));
    cr_expect_eq(ito_checkpoint_step(path), 3);
    cr_assert_not(same_runs(a, b));
    cr_assert_eq(ito_checkpoint_load(path, &b->state), ITO_OK, "%s", ito_error());
    cr_expect(same_runs(a, b));
    cr_expect_eq(b->state.position, 24);
    train(a, 2);
    train(b, 2);
    cr_expect(same_runs(a, b));
    char *settings = ito_checkpoint_settings(path);
    cr_expect_str_eq(settings, a->state.settings); /* to the byte */
    free(settings);
    free(path);
    end(a);
    end(b);
    remove_tree(dir);
}

Test(checkpoint, parts_can_be_left_out)
{
    const char *dir = temporary_directory();
    run *a = begin(1), *b = begin(2);
    train(a, 1);
    ito_training_state model = {.model = a->model, .step = 9};
    cr_assert_eq(ito_checkpoint_save(dir, &model), ITO_OK, "%s", ito_error());
    cr_expect_eq(entries(in_directory(dir, "step-9")), 2);
    model.model = b->model;
    model.step = 0;
    cr_assert_eq(ito_checkpoint_load(in_directory(dir, "step-9"), &model), ITO_OK, "%s",
                 ito_error());
    cr_expect_eq(model.step, 9);
    cr_expect(same_tensors(ito_module_state(a->model), ito_module_state(b->model)));
    cr_expect_null(ito_checkpoint_settings(in_directory(dir, "step-9")));
    expect_error_with(ITO_ERR_IO, "step-9/settings.json");
    end(a);
    end(b);
    remove_tree(dir);
}

Test(checkpoint, averages_can_be_loaded_as_a_model)
{
    const char *dir = temporary_directory();
    run *a = begin(1), *b = begin(2);
    train(a, 2);
    cr_assert_eq(ito_checkpoint_save(dir, &a->state), ITO_OK, "%s", ito_error());
    cr_assert_eq(
        ito_module_load(b->model, in_directory(dir, "step-2/ema.safetensors"), .partial = true),
        ITO_OK, "%s", ito_error());
    cr_assert_eq(ito_ema_swap(a->ema), ITO_OK);
    cr_expect(same_tensors(ito_module_parameters(a->model), ito_module_parameters(b->model)));
    end(a);
    end(b);
    remove_tree(dir);
}

Test(checkpoint, the_newest_ones_stay)
{
    const char *dir = temporary_directory();
    run *r = begin(1);
    for (int64_t step = 8; step <= 12; step++) {
        r->state.step = step;
        cr_assert_eq(ito_checkpoint_save(dir, &r->state, .keep = 3), ITO_OK, "%s", ito_error());
    }
    cr_expect_eq(entries(dir), 3);
    cr_expect(path_exists(in_directory(dir, "step-10")));
    cr_expect(path_exists(in_directory(dir, "step-12")));
    char *latest = ito_checkpoint_latest(dir);
    cr_expect_str_eq(latest, in_directory(dir, "step-12")); /* by number, not by name */
    free(latest);
    r->state.step = 13;
    cr_assert_eq(ito_checkpoint_save(dir, &r->state, .keep = 2), ITO_OK);
    cr_expect_eq(entries(dir), 2);
    r->state.step = 5; /* of a run that was resumed further back: stays besides */
    cr_assert_eq(ito_checkpoint_save(dir, &r->state), ITO_OK);
    cr_expect(path_exists(in_directory(dir, "step-5")));
    cr_expect(path_exists(in_directory(dir, "step-12")));
    cr_expect_eq(entries(dir), 3);
    r->state.step = 20;
    cr_assert_eq(ito_checkpoint_save(dir, &r->state, .keep = -1), ITO_OK);
    cr_expect_eq(entries(dir), 4);
    end(r);
    remove_tree(dir);
}

Test(checkpoint, the_same_step_is_replaced)
{
    const char *dir = temporary_directory();
    run *a = begin(1), *b = begin(2);
    cr_assert_eq(ito_checkpoint_save(dir, &b->state), ITO_OK);
    cr_assert_eq(ito_checkpoint_save(dir, &a->state), ITO_OK, "%s", ito_error());
    cr_expect_eq(entries(dir), 1);
    cr_assert_eq(ito_checkpoint_load(in_directory(dir, "step-0"), &b->state), ITO_OK);
    cr_expect(same_runs(a, b));
    end(a);
    end(b);
    remove_tree(dir);
}

/* The temporary directory cannot be made, since a file is in its place. */
Test(checkpoint, a_failure_leaves_the_old_one)
{
    const char *dir = temporary_directory();
    run *a = begin(1), *b = begin(2);
    cr_assert_eq(ito_checkpoint_save(dir, &a->state), ITO_OK);
    char name[64];
    snprintf(name, sizeof name, "step-0.tmp-%ld", (long)getpid());
    write_text(in_directory(dir, name), "in the way");
    cr_expect_eq(ito_checkpoint_save(dir, &b->state), ITO_ERR_IO);
    expect_error_with(ITO_ERR_IO, name);
    unlink(in_directory(dir, name));
    cr_assert_eq(ito_checkpoint_load(in_directory(dir, "step-0"), &b->state), ITO_OK);
    cr_expect(same_runs(a, b));
    end(a);
    end(b);
    remove_tree(dir);
}

/* The final place is taken by a file: everything is written, and then taken back. */
Test(checkpoint, a_place_that_is_taken_is_named)
{
    const char *dir = temporary_directory();
    run *r = begin(1);
    write_text(in_directory(dir, "step-0"), "in the way");
    cr_expect_eq(ito_checkpoint_save(dir, &r->state), ITO_ERR_IO);
    expect_error_with(ITO_ERR_IO, "step-0: cannot put the checkpoint in its place: Not a dir");
    cr_expect_eq(entries(dir), 1);
    end(r);
    remove_tree(dir);
}

/* A process that saves the same step over and over is killed at some moment or other. */
Test(checkpoint, a_kill_loses_nothing)
{
    const char *dir = temporary_directory();
    run *a = begin(1), *b = begin(2);
    cr_assert_eq(ito_checkpoint_save(dir, &a->state), ITO_OK);
    for (useconds_t wait = 2000; wait < 20000; wait += 1700) {
        pid_t child = fork();
        if (child == 0)
            for (;; a->state.step = 1 - a->state.step)
                ito_checkpoint_save(dir, &a->state);
        usleep(wait);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        char *latest = ito_checkpoint_latest(dir);
        cr_assert_not_null(latest);
        cr_assert_eq(ito_checkpoint_load(latest, &b->state), ITO_OK, "%s", ito_error());
        a->state.step = b->state.step;
        cr_assert(same_runs(a, b));
        free(latest);
    }
    cr_assert_eq(ito_checkpoint_save(dir, &a->state), ITO_OK); /* and cleans up */
    cr_expect_eq(entries(dir), path_exists(in_directory(dir, "step-1")) ? 2 : 1);
    end(a);
    end(b);
    remove_tree(dir);
}

/* cJSON's requests for memory fail like the library's own, in this process. */
static void fail_json_too(void)
{
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = struct_alloc, .free_fn = free});
}

typedef struct save_attempt {
    const char *dir;
    run *run, *older, *scratch;
    int64_t attempts;
} save_attempt;

static ito_status try_to_save(void *context)
{
    save_attempt *a = context;
    ito_status status = ito_checkpoint_save(a->dir, &a->run->state);
    ito_memory_fail_nth(0);
    cr_assert_eq(entries(a->dir), 1);
    if (status != ITO_OK && ++a->attempts % 10 == 1) {
        ito_error_clear();
        cr_assert_eq(ito_checkpoint_load(in_directory(a->dir, "step-0"), &a->scratch->state),
                     ITO_OK);
        cr_assert(same_runs(a->older, a->scratch));
        ito_error_set(status, "as before");
    }
    return status;
}

/* Memory runs out at each point in turn: after the first file, say. */
Test(checkpoint, saving_survives_every_failing_allocation)
{
    const char *dir = temporary_directory();
    save_attempt a = {dir, begin(2), begin(1), begin(3), 0};
    cr_assert_eq(ito_checkpoint_save(dir, &a.older->state), ITO_OK);
    int64_t without_json = count_failed_allocations(try_to_save, &a);
    cr_assert_eq(ito_checkpoint_save(dir, &a.older->state), ITO_OK);
    fail_json_too();
    /* state.json has 19 values, all but the outermost with a name. */
    cr_expect_geq(count_failed_allocations(try_to_save, &a), without_json + 19 + 18);
    cr_expect_geq(without_json, 30); /* the lists and headers of four files, paths */
    end(a.run);
    end(a.older);
    end(a.scratch);
    remove_tree(dir);
}

typedef struct resume_attempt {
    const char *path;
    run *run, *untouched;
    int64_t attempts;
} resume_attempt;

static ito_status try_to_resume(void *context)
{
    resume_attempt *a = context;
    ito_status status = ito_checkpoint_load(a->path, &a->run->state);
    ito_memory_fail_nth(0);
    if (status != ITO_OK && ++a->attempts % 10 == 1)
        cr_assert(same_runs(a->run, a->untouched));
    return status;
}

Test(checkpoint, loading_survives_every_failing_allocation)
{
    const char *dir = temporary_directory();
    run *saved = begin(1), *first = begin(2), *second = begin(2);
    cr_assert_eq(ito_checkpoint_save(dir, &saved->state), ITO_OK);
    resume_attempt a = {in_directory(dir, "step-0"), first, begin(2), 0};
    int64_t without_json = count_failed_allocations(try_to_resume, &a);
    cr_expect(same_runs(saved, first));
    fail_json_too();
    a.run = second;
    /* state.json has 19 values, all but the outermost with a name. */
    cr_expect_geq(count_failed_allocations(try_to_resume, &a), without_json + 19 + 18);
    cr_expect_geq(without_json, 30); /* four files, their lists and values */
    cr_expect(same_runs(saved, second));
    end(saved);
    end(first);
    end(second);
    end(a.untouched);
    remove_tree(dir);
}

Test(checkpoint, what_is_not_finite_is_never_written)
{
    const char *dir = temporary_directory();
    run *good = begin(1), *bad = begin(2);
    cr_assert_eq(ito_checkpoint_save(dir, &good->state), ITO_OK);
    float *weight = ito_data(ito_module_find(bad->model, "last.weight")), value = weight[2];
    weight[2] = NAN;
    cr_expect_eq(ito_checkpoint_save(dir, &bad->state), ITO_ERR_NUMERIC);
    expect_error(ITO_ERR_NUMERIC, "checkpoint: parameter last.weight is not finite");
    cr_assert_eq(ito_ema_update(bad->ema), ITO_OK); /* the NaN spreads to the average */
    weight[2] = value;
    cr_expect_eq(ito_checkpoint_save(dir, &bad->state), ITO_ERR_NUMERIC);
    expect_error(ITO_ERR_NUMERIC, "checkpoint: average last.weight is not finite");
    bad->state.ema = NULL;
    ito_named_tensors *state = ito_optimizer_state(bad->opt);
    ((float *)ito_data(state->tensors[0]))[1] = INFINITY;
    ito_named_tensors_free(state);
    cr_expect_eq(ito_checkpoint_save(dir, &bad->state), ITO_ERR_NUMERIC);
    expect_error(ITO_ERR_NUMERIC, "checkpoint: optimizer state exp_avg.first.weight is not finite");
    cr_expect_eq(entries(dir), 1);
    bad->state.ema = bad->ema;
    cr_assert_eq(ito_checkpoint_load(in_directory(dir, "step-0"), &bad->state), ITO_OK);
    cr_expect(same_runs(good, bad));
    end(good);
    end(bad);
    remove_tree(dir);
}

/* Process 1 lives. This one's own and that of a number beyond all processes are stale. */
Test(checkpoint, stale_temporaries_are_removed)
{
    const char *dir = temporary_directory();
    char own[64];
    snprintf(own, sizeof own, "step-7.tmp-%ld", (long)getpid());
    const char *names[] = {own, "step-7.tmp-2000000000", "step-7.tmp-1", "step-7.tmp-x", "step-7x"};
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(mkdir(in_directory(dir, names[i]), 0777), 0);
        char file[600];
        snprintf(file, sizeof file, "%s/model.safetensors", in_directory(dir, names[i]));
        write_text(file, "half");
    }
    run *r = begin(1);
    cr_assert_eq(ito_checkpoint_save(dir, &r->state), ITO_OK, "%s", ito_error());
    for (int i = 0; i < 5; i++)
        cr_expect_eq(path_exists(in_directory(dir, names[i])), i >= 2, "%s", names[i]);
    char *latest = ito_checkpoint_latest(dir);
    cr_expect_str_eq(latest, in_directory(dir, "step-0"));
    free(latest);
    end(r);
    remove_tree(dir);
}

Test(checkpoint, latest_of_nothing_is_no_error_but_no_directory_is)
{
    const char *dir = temporary_directory();
    cr_expect_null(ito_checkpoint_latest(dir));
    cr_expect_eq(ito_error_code(), ITO_OK);
    cr_expect_null(ito_checkpoint_latest(in_directory(dir, "none")));
    expect_error_with(ITO_ERR_IO, "none: cannot look for checkpoints in it: No such file");
    remove_tree(dir);
}

Test(checkpoint, refuses_states_that_make_no_sense)
{
    const char *dir = temporary_directory();
    run *r = begin(1);
    cr_assert_eq(ito_ema_swap(r->ema), ITO_OK);
    const char *swapped = "checkpoint: the averages are in the model's place; swap them back";
    cr_expect_eq(ito_checkpoint_save(dir, &r->state), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, swapped);
    cr_expect_eq(ito_checkpoint_load(dir, &r->state), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, swapped);
    cr_assert_eq(ito_ema_swap(r->ema), ITO_OK);
    r->state.step = -1;
    cr_expect_eq(ito_checkpoint_save(dir, &r->state), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "checkpoint: step -1, position 0; neither can be negative");
    r->state.step = 0;
    const char *settings[] = {"[1]", "{\"a\": }", "{} more", ""};
    for (int i = 0; i < 4; i++) {
        r->state.settings = settings[i];
        cr_expect_eq(ito_checkpoint_save(dir, &r->state), ITO_ERR_ARGUMENT);
        expect_error(ITO_ERR_ARGUMENT, "checkpoint: settings are no JSON object");
    }
    r->state.settings = NULL;
    cr_expect_eq(ito_checkpoint_save(in_directory(dir, "a/b"), &r->state), ITO_ERR_IO);
    expect_error_with(ITO_ERR_IO, "a/b: cannot make the directory: No such file");
    cr_expect_eq(entries(dir), 0);
    end(r);
    remove_tree(dir);
}

/* Loading with state.json replaced by this text must fail with this fault and change nothing. */
static void expect_bad_json(const char *dir, run *r, const char *text, const char *fault)
{
    write_text(in_directory(dir, "step-0/state.json"), text);
    run *untouched = begin(2);
    cr_expect_eq(ito_checkpoint_load(in_directory(dir, "step-0"), &r->state), ITO_ERR_FORMAT);
    expect_error_with(ITO_ERR_FORMAT, fault);
    cr_expect(same_runs(r, untouched));
    end(untouched);
}

#define COUNTERS "{\"format\": 1, \"step\": 4, \"position\": 5, \"ema\": {\"updates\": 4}, "
#define ADAM "\"optimizer\": {\"kind\": \"adam\", \"steps\": 4}, "
#define DROPOUT                                                                                    \
    "\"model_generators\": {\"drop.generator\": {\"seed\": \"1\", \"stream\": \"2\", \"offset\": " \
    "\"3\"}}, "

Test(checkpoint, every_fault_of_the_json_is_named)
{
    const char *dir = temporary_directory();
    run *a = begin(1), *r = begin(2);
    cr_assert_eq(ito_checkpoint_save(dir, &a->state), ITO_OK);
    const char *faults[][2] = {
        {"{", "state.json: is not JSON"},
        {"{} {}", "state.json: is not JSON"},
        {"[]", "state.json: is no JSON object"},
        {"{}", "state.json: \"format\" is missing or no integer from 0 to 2^53"},
        {"{\"format\": 2, \"step\": 1}", "state.json: \"format\" is not 1, the one that this "
                                         "version reads"},
        {"{\"format\": 1, \"step\": 1.5}",
         "state.json: \"step\" is missing or no integer from 0 to 2^53"},
        {"{\"format\": 1, \"step\": -1}",
         "state.json: \"step\" is missing or no integer from 0 to 2^53"},
        {"{\"format\": 1, \"step\": 1e300}",
         "state.json: \"step\" is missing or no integer from 0 to 2^53"},
        {"{\"format\": 1, \"step\": 1, \"position\": \"x\"}",
         "state.json: \"position\" is missing or no integer from 0 to 2^53"},
        {"{\"format\": 1, \"step\": 1, \"position\": 1}",
         "state.json: \"ema\" is missing or no object"},
        {COUNTERS "\"optimizer\": 3}", "state.json: \"optimizer\" is missing or no object"},
        {COUNTERS "\"optimizer\": {\"kind\": \"sgd\", \"steps\": 4}}",
         "state.json: the optimizer that was saved is sgd, the one to be loaded is adam"},
        {COUNTERS "\"optimizer\": {\"steps\": 4}}",
         "state.json: the optimizer that was saved is nameless, the one to be loaded is adam"},
        {COUNTERS ADAM "\"generators\": {}}",
         "state.json: \"model_generators\" is missing or no object"},
        {COUNTERS ADAM "\"model_generators\": {}}",
         "state.json: \"drop.generator\" is missing among the generators"},
        {COUNTERS ADAM DROPOUT "\"generators\": {\"noise \\\"quoted\\\"\": {\"seed\": 1}}}",
         "state.json: \"noise \"quoted\"\" does not have seed, stream and offset as strings of "
         "64-bit numbers"},
        {COUNTERS ADAM DROPOUT
         "\"generators\": {\"noise \\\"quoted\\\"\": {\"seed\": \"99999999999999999999\"}}}",
         "state.json: \"noise \"quoted\"\" does not have seed, stream and offset as strings of "
         "64-bit numbers"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        expect_bad_json(dir, r, faults[i][0], faults[i][1]);
    end(a);
    end(r);
    remove_tree(dir);
}

/* The last file that is read is the broken one: nothing before it may have been taken over. */
Test(checkpoint, a_damaged_file_changes_nothing)
{
    const char *dir = temporary_directory();
    run *a = begin(1), *r = begin(2), *untouched = begin(2);
    cr_assert_eq(ito_checkpoint_save(dir, &a->state), ITO_OK);
    const char *broken = in_directory(dir, "step-0/tensors.safetensors");
    cr_assert_eq(truncate(broken, 100), 0);
    cr_expect_eq(ito_checkpoint_load(in_directory(dir, "step-0"), &r->state), ITO_ERR_FORMAT);
    expect_error_with(ITO_ERR_FORMAT, "step-0/tensors.safetensors");
    cr_expect(same_runs(r, untouched));
    unlink(broken);
    cr_expect_eq(ito_checkpoint_load(in_directory(dir, "step-0"), &r->state), ITO_ERR_IO);
    expect_error_with(ITO_ERR_IO, "step-0/tensors.safetensors");
    cr_expect(same_runs(r, untouched));
    cr_expect_eq(ito_checkpoint_step(in_directory(dir, "step-1")), -1);
    expect_error_with(ITO_ERR_IO, "step-1/state.json");
    write_text(in_directory(dir, "step-0/settings.json"), "[1]");
    cr_expect_null(ito_checkpoint_settings(in_directory(dir, "step-0")));
    expect_error_with(ITO_ERR_FORMAT, "step-0/settings.json: is no JSON object");
    end(a);
    end(r);
    end(untouched);
    remove_tree(dir);
}
