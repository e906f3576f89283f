/* ito-ddpm train: the training loop around models/ddpm/train.h, which can be interrupted at any
 * time.
 * Invariant: step n depends on the run's settings, its plans up to n (plan.h) and n alone, so a run
 * resumed from any checkpoint gives the same bits. */
#include "examples/common/messages.h"
#include "examples/common/paths.h"
#include "examples/common/ranks.h"
#include "examples/common/results.h"
#include "examples/common/stop.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/dry_run.h"
#include "examples/ddpm/inference.h"
#include "examples/ddpm/plan.h"
#include "examples/ddpm/report.h"
#include "examples/ddpm/run_samples.h"
#include "examples/ddpm/session.h"

#include <errno.h>
#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FAILURES = 5 }; /* steps in a row that were not finite */

static int fail(session *s)
{
    progress_end(&s->progress);
    return options_report("train");
}

/* ---- output during training ---- */

/* A page or a profile that cannot be written is no reason to stop. */
static void tell_lost(session *s, const char *what, bool good)
{
    if (good)
        return;
    progress_end(&s->progress);
    note("no %s after step %" PRId64 ": %s\n", what, s->step, ito_error_message());
    ito_error_clear();
}

static void write_report(session *s)
{
    if (ranks_writes())
        tell_lost(s, "report", report_write(s->o.out));
}

/* A number in JSON, which has no NaN. */
static const char *json_number(char text[32], double value)
{
    snprintf(text, 32, isfinite(value) ? "%.9g" : "null", value);
    return text;
}

static bool log_step(session *s, const ito_train_result *r, double lr)
{
    char loss[32], norm[32], rate[32], bins[256] = "", line[768];
    const progress *p = &s->progress;
    double images = p->seconds_a_step > 0.0 ? (double)s->o.batch / p->seconds_a_step : (double)NAN;
    bool last = s->step == s->o.steps || s->step == s->o.stop_at || stop_signal() != 0;
    if (last || loss_bins_due(&s->bins, s->step))
        loss_bins_take(&s->bins, s->step, bins);
    snprintf(line, sizeof line,
             "{\"step\": %" PRId64 ", \"loss\": %s, \"grad_norm\": %s, \"lr\": %.9g, "
             "\"images_per_second\": %s, \"seconds\": %.3f, \"peak_bytes\": %" PRId64
             ", \"precision\": \"%s\"%s%s}",
             s->step, json_number(loss, r->loss), json_number(norm, r->grad_norm), lr,
             json_number(rate, images), s->seconds + progress_clock() - s->started,
             ito_memory_peak(), s->o.precision, r->applied ? "" : ", \"applied\": false", bins);
    const event_scalar scalars[] = {
        {"loss", r->loss}, {"grad_norm", r->grad_norm}, {"lr", lr}, {"images_per_second", images}};
    return run_log_write(&s->run.log, line) &&
           (s->events.file == NULL || events_write(&s->events, s->step, scalars, 4));
}

/* ---- the loop ---- */

static double learning_rate(const train_options *o, int64_t step)
{
    double lr = o->lr * (o->warmup > 0 ? ito_lr_warmup(step, o->warmup) : 1.0);
    return strcmp(o->decay, "cosine") == 0 ? lr * ito_lr_cosine(step, o->steps, 0.0) : lr;
}

/* Replace any NaN by the one that printf shows without a sign. */
static double plain(double value)
{
    return isnan(value) ? (double)NAN : value;
}

/* What there is to go on from: the newest checkpoint, which may be newer than this rank knows. */
static const char *kept_text(const session *s, char text[320])
{
    char *dir = path_join(s->o.out, "checkpoints");
    char *path = dir != NULL && path_exists(dir) ? ito_checkpoint_latest(dir) : NULL;
    if (path == NULL)
        snprintf(text, 320, "there is no checkpoint yet");
    else
        snprintf(text, 320, "the last good checkpoint is %.280s", strrchr(path, '/') + 1);
    free(dir);
    free(path);
    ito_error_clear(); /* a directory that cannot be read */
    return text;
}

/* A rank that is gone, or an error of one alone, ends the run of all. */
static bool fail_alone(const session *s)
{
    char kept[320], text[1024];
    if (ranks_count() == 1 || s->failures == MOST_FAILURES) /* which all have met, and say so */
        return false;
    snprintf(text, sizeof text, "%s", ito_error_message());
    ito_status code = ito_error_code();
    kept_text(s, kept);
    ito_error_set(code, "%s; %s", text, kept);
    return false;
}

/* Count a step that was not applied; the run ends after too many in a row. */
static bool tolerate(session *s, const ito_train_result *r, double lr)
{
    s->failures = r->applied ? 0 : s->failures + 1;
    if (s->failures < MOST_FAILURES)
        return true;
    char kept[320];
    ito_error_set(ITO_ERR_NUMERIC,
                  "step %" PRId64
                  ": loss %g or gradient norm %g was not finite %d times in a row at "
                  "learning rate %g; first not finite: %s; %s",
                  s->step, plain(r->loss), plain(r->grad_norm), MOST_FAILURES, lr, r->culprit,
                  kept_text(s, kept));
    ranks_end_together(); /* all of them have met the same */
    return false;
}

static bool one_step(session *s)
{
    ito_train_result r;
    double lr = learning_rate(&s->o, s->step);
    if (!session_step(s, lr, &r))
        return false;
    progress_step(&s->progress, s->step, s->o.batch, r.loss);
    if (ranks_writes() && (s->step % s->o.log_every == 0 || !r.applied) && !log_step(s, &r, lr))
        return false;
    return tolerate(s, &r, lr);
}

static bool sample_due(const session *s)
{
    return s->o.sample_every > 0 && s->step > 0 &&
           (s->step % s->o.sample_every == 0 || s->step == s->o.steps);
}

/* Rank 0 draws, by averages that are in parts on all. */
static bool draw_samples(session *s)
{
    return session_gather(s) && (!ranks_writes() || run_samples_write(s));
}

static int64_t last_step(const session *s)
{
    return s->o.stop_at > 0 && s->o.stop_at < s->o.steps ? s->o.stop_at : s->o.steps;
}

/* One step, which may be among those that are counted for profile.json: they end before anything
 * else is done between steps. */
static bool one_profiled_step(session *s, int64_t first)
{
    if (s->step == first + PROFILE_AFTER)
        step_profile_begin(&s->profile, s->step);
    if (!one_step(s))
        return false;
    if (!ranks_writes())
        return true;
    if (step_profile_full(&s->profile, s->step) || sample_due(s) || s->step == last_step(s) ||
        s->step % s->o.checkpoint_every == 0 || stop_signal() != 0)
        tell_lost(s, "profile", step_profile_end(&s->profile, s->step, s->o.out));
    return true;
}

/* Up to the last step wanted now, or to the end of the step in which a signal came. */
static bool train(session *s)
{
    int64_t first = s->step;
    progress_begin(&s->progress, "step", "images", s->step, s->o.steps);
    s->started = progress_clock();
    s->bins.since = s->step;
    /* Draw the samples that an earlier process was stopped at. */
    if (sample_due(s) && !draw_samples(s))
        return false;
    while (s->step < last_step(s) && stop_signal() == 0) {
        if (!plan_follow(s) || !one_profiled_step(s, first))
            return false;
        /* No checkpoint while steps fail: the last one is as good, and a resumed run counts the
         * failures again. */
        bool checkpoint_due = s->step % s->o.checkpoint_every == 0 && s->failures == 0;
        if (checkpoint_due && !session_save(s))
            return false;
        if (sample_due(s) && stop_signal() == 0 && !draw_samples(s))
            return false;
        if (checkpoint_due) {
            write_report(s);
            progress_skip(&s->progress);
        }
    }
    progress_end(&s->progress);
    if (!session_save(s))
        return false;
    write_report(s);
    ranks_end_together();
    return true;
}

/* ---- the end ---- */

static double mib(int64_t bytes)
{
    return (double)bytes / (1 << 20);
}

/* The next command is named as this one was, so that it can be pasted. */
static void say_what_was_done(const session *s, const ito_memory_account *m)
{
    note("memory, MiB: %.0f weights, %.0f gradients, %.0f optimiser, %.0f averages, "
         "%.0f activations; %.0f at most, %.0f held\n",
         mib(m->weights), mib(m->gradients), mib(m->optimizer), mib(m->averages),
         mib(m->activations), mib(m->peak), mib(m->held));
    if (s->step < s->o.steps)
        note("stopped after step %" PRId64 " of %" PRId64
             "; go on with: %s train --out %s --resume\n",
             s->step, s->o.steps, program_invocation_name, s->o.out);
    else
        note("%" PRId64 " step%s done; images: %s sample --model %s --out grid.png\n", s->step,
             PLURAL(s->step), program_invocation_name, s->o.out);
}

static cJSON *describe_memory(const ito_memory_account *m)
{
    cJSON *root = cJSON_CreateObject();
    result_number(root, "weights", (double)m->weights);
    result_number(root, "gradients", (double)m->gradients);
    result_number(root, "optimizer", (double)m->optimizer);
    result_number(root, "averages", (double)m->averages);
    result_number(root, "activations", (double)m->activations);
    result_number(root, "held", (double)m->held);
    return root;
}

static cJSON *describe(const session *s, const ito_memory_account *m)
{
    cJSON *root = cJSON_CreateObject();
    double loss = progress_loss(&s->progress);
    result_text(root, "run", s->o.out);
    result_number(root, "step", (double)s->step);
    result_number(root, "steps", (double)s->o.steps);
    result_number(root, "loss", loss); /* null before the first */
    result_number(root, "seconds", s->seconds + progress_clock() - s->started);
    result_number(root, "peak_bytes", (double)m->peak);
    cJSON_AddItemToObject(root, "memory", describe_memory(m));
    result_number(root, "signal", stop_signal());
    return root;
}

static int report(const session *s)
{
    ito_memory_account m = ito_memory_account_of(&s->unet->base, s->optimizer, s->ema);
    say_what_was_done(s, &m);
    return s->o.json ? results_print_json("train", describe(s, &m)) : 0;
}

int command_train(int argc, char **argv)
{
    session s = {.saved = -1, .run = {.lock = -1}};
    bool parsed = train_options_parse(&s.o, argc, argv, &s.config);
    ito_scope_begin();
    int code;
    if (!parsed || !session_open(&s)) {
        code = fail(&s);
    } else if (s.o.dry_run) {
        code = dry_run(&s);
        ranks_end_together();
    } else {
        stop_on_signals();
        if (ranks_count() > 1)
            stop_together();
        bool good = train(&s) || fail_alone(&s);
        code = good ? report(&s) : fail(&s);
        if (good && stop_signal() != 0)
            code = 128 + stop_signal();
    }
    session_close(&s);
    ito_scope_end();
    return code;
}
