/* ito-gpt: learn a text character by character, say how well the rest of it is predicted, and go on
 * with it. */
#include "examples/common/messages.h"
#include "examples/common/options.h"
#include "examples/common/outputs.h"
#include "examples/common/paths.h"
#include "examples/common/progress.h"
#include "examples/gpt/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVILS_DICTIONARY "/usr/share/dictd/devil.dict.dz"

typedef struct settings {
    const char *text, *model, *out, *prompt, *positions;
    int64_t steps, batch, context, layers, heads, width, length, top_k, seed, threads;
    double lr, dropout, decay, temperature, top_p;
    bool no_cache, force;
} settings;

#define AT(field) offsetof(settings, field)

static const option_row rows[] = {
    GROUP_ROW("What is learnt"),
    TEXT_ROW("text", text, "FILE", DEVILS_DICTIONARY, "A text; the last tenth of it is held out"),
    TEXT_ROW("model", model, "FILE", NULL, "Weights that an earlier run wrote: no training"),
    TEXT_ROW("out", out, "FILE.safetensors", NULL, "Where the weights go"),
    FORCE_ROW,
    GROUP_ROW("The network"),
    INT_ROW("context", context, "N", 2, 65536, "128", "Characters that it sees"),
    INT_ROW("layers", layers, "N", 1, 1000, "4", "Blocks"),
    INT_ROW("heads", heads, "N", 1, 1024, "4", "Of attention"),
    INT_ROW("width", width, "N", 1, 65536, "128", "Features"),
    WORDS_ROW("positions", positions, "rotary|learned", "rotary", "How it knows them"),
    GROUP_ROW("Training"),
    INT_ROW("steps", steps, "N", 1, 1e7, "2000", "How many"),
    INT_ROW("batch", batch, "N", 1, 1e6, "16", "Pieces of the text in each"),
    REAL_ROW("lr", lr, "RATE", ABOVE_0, 1, "0.02", "Muon's learning rate, falling along a cosine"),
    REAL_ROW("weight-decay", decay, "X", 0, 10, "0.1", "Muon's"),
    REAL_ROW("dropout", dropout, "P", 0, 0.99, "0.05", "Of embeddings, attention and branches"),
    GROUP_ROW("The text that is made"),
    TEXT_ROW("prompt", prompt, "TEXT", "\n\n", "How it begins"),
    INT_ROW("length", length, "N", 0, 1e6, "1000", "Characters"),
    REAL_ROW("temperature", temperature, "X", 0, 100, "0.8", "0: the most probable character"),
    INT_ROW("top-k", top_k, "K", 0, 256, "0", "Of the K most probable characters alone (0: all)"),
    REAL_ROW("top-p", top_p, "P", ABOVE_0, 1, "0.95", "Of the fewest that have this probability"),
    FLAG_ROW("no-cache", no_cache, "Compute all positions again for each character"),
    SEED_ROW,
    THREADS_ROW,
    END_ROW,
};

/* The last tenth is held out. Both parts are longer than the context. */
static bool text_open(text *t, const settings *s)
{
    if (strcmp(s->text, DEVILS_DICTIONARY) == 0 && !path_exists(s->text)) {
        ito_error_set(ITO_ERR_IO, "%s is not there: apt install dict-devil, or --text FILE",
                      s->text);
        return false;
    }
    if (!text_read(t, s->text))
        return false;
    if (t->n / 10 > s->context)
        return true;
    ito_error_set(ITO_ERR_ARGUMENT,
                  "%s: a tenth of its %" PRId64 " characters is no more than --context, %" PRId64,
                  s->text, t->n, s->context);
    return false;
}

/* [1, length]; NULL with an error recorded. */
static ito_tensor *prompt_of(const text *t, const settings *s)
{
    int64_t length = (int64_t)strlen(s->prompt);
    ito_tensor *prompt = ito_empty(ITO_SHAPE(1, length), ITO_I64);
    for (int64_t i = 0; prompt != NULL && i < length; i++) {
        int64_t token = t->of[(unsigned char)s->prompt[i]];
        ((int64_t *)ito_data(prompt))[i] = token;
        if (token < 0) {
            options_error("--prompt: \"%c\" is not in %s", s->prompt[i], s->text);
            return NULL;
        }
    }
    return prompt;
}

static int64_t learnt(const text *t)
{
    return t->n - t->n / 10;
}

/* Row i of x [n, length]: the text from `place` on. */
static void put(ito_tensor *x, int64_t i, const text *t, int64_t place)
{
    int64_t length = ito_size(x, 1);
    memcpy((int64_t *)ito_data(x) + i * length, t->token + place,
           (size_t)length * sizeof *t->token);
}

/* ---- training ----------------------------------------------------------------------------------
 */

/* The loss, NaN with an error recorded. */
static double train_step(ito_gpt *gpt, ito_optimizer *opt, ito_generator *g, const text *t,
                         const settings *s, double lr)
{
    int64_t c = s->context;
    ito_tensor *x = ito_empty(ITO_SHAPE(s->batch, c + 1), ITO_I64);
    for (int64_t i = 0; x != NULL && i < s->batch; i++)
        put(x, i, t, (int64_t)ito_uniform_int(g, (uint64_t)(learnt(t) - c)));
    ito_module_zero_grad(&gpt->base);
    ito_tensor *loss = ito_gpt_loss(gpt, ito_narrow(x, 1, 0, c), ito_narrow(x, 1, 1, c));
    bool good = loss != NULL && ito_backward(loss) == ITO_OK &&
                ito_optimizer_step(opt, lr, .max_norm = 1) == ITO_OK;
    return good ? ito_item(loss) : (double)NAN;
}

static bool train(ito_gpt *gpt, const text *t, const settings *s)
{
    /* Muon for the matrices of the blocks, AdamW for embeddings, norms and biases. */
    ito_optimizer *opt = ito_muon_create(&gpt->base, .weight_decay = s->decay, .adamw_lr = 0.15,
                                         .adamw_beta2 = 0.99);
    bool good = opt != NULL && ito_optimizer_group(opt, "w?e.*", .elementwise = true) == ITO_OK &&
                ito_optimizer_group(opt, "*.bias", .weight_decay = 0) == ITO_OK &&
                ito_optimizer_group(opt, "*ln_*", .weight_decay = 0) == ITO_OK;
    ito_generator g = ito_generator_make((uint64_t)s->seed, 1);
    progress bar = {.quiet = false};
    progress_begin(&bar, "step", "characters", 0, s->steps);
    for (int64_t step = 0; good && step < s->steps; step++) {
        double lr = s->lr * ito_lr_warmup(step, 100) * ito_lr_cosine(step, s->steps, 0.0);
        ito_module_seed(&gpt->base, (uint64_t)s->seed + 1, (uint64_t)step << 16);
        ito_scope_begin();
        double loss = train_step(gpt, opt, &g, t, s, lr);
        ito_scope_end();
        good = isfinite(loss);
        progress_step(&bar, step + 1, s->batch * s->context, loss);
    }
    progress_end(&bar);
    ito_optimizer_free(opt);
    return good;
}

/* ---- what it has learnt ------------------------------------------------------------------------
 */

/* The mean loss in nats of the part that is held out, where half of the context or more is known:
 * pieces overlap by half. The characters that count are [*from, *to). */
static double held_out_loss(ito_gpt *gpt, const text *t, int64_t c, int64_t *from, int64_t *to)
{
    enum { BATCH = 16 };
    int64_t half = c / 2, counted = c - half, pieces = (t->n - learnt(t) - half - 1) / counted;
    double sum = 0.0;
    for (int64_t i = 0; i < pieces; i += BATCH) {
        int64_t n = pieces - i < BATCH ? pieces - i : BATCH;
        ito_scope_begin();
        ito_tensor *x = ito_empty(ITO_SHAPE(n, c + 1), ITO_I64);
        for (int64_t k = 0; x != NULL && k < n; k++)
            put(x, k, t, learnt(t) + (i + k) * counted);
        ito_tensor *logits = ito_gpt_forward(gpt, ito_narrow(x, 1, 0, c));
        ito_tensor *y = ito_flatten(ito_narrow(x, 1, half + 1, counted), 0, 1);
        ito_tensor *loss =
            ito_cross_entropy(ito_flatten(ito_narrow(logits, 1, half, counted), 0, 1), y);
        sum += loss == NULL ? (double)NAN : (double)n * ito_item(loss);
        ito_scope_end();
    }
    *from = learnt(t) + half + 1;
    *to = *from + pieces * counted;
    return sum / (double)pieces;
}

static bool judge(ito_gpt *gpt, const text *t, const settings *s)
{
    int64_t from, to;
    double nats = held_out_loss(gpt, t, s->context, &from, &to);
    note("held out: %.4f nats, %.3f bits per character; counts of 3 characters: %.3f bits, of "
         "5: %.3f\n",
         nats, nats / M_LN2, text_ngram_bits(t, learnt(t), from, to, 3),
         text_ngram_bits(t, learnt(t), from, to, 5));
    return isfinite(nats);
}

/* Text to stdout, after the prompt. */
static bool write_text(ito_gpt *gpt, const text *t, ito_tensor *prompt, const settings *s)
{
    ito_generator g = ito_generator_make((uint64_t)s->seed, 2);
    double started = progress_clock();
    ito_tensor *made =
        ito_gpt_generate(gpt, prompt, s->length, &g, .temperature = s->temperature,
                         .top_k = s->top_k, .top_p = s->top_p, .use_cache = !s->no_cache);
    if (made == NULL)
        return false;
    note("%" PRId64 " characters, %.0f a second\n\n", s->length,
         (double)s->length / (progress_clock() - started));
    for (int64_t i = 0; i < ito_numel(made); i++)
        putchar(t->byte[((const int64_t *)ito_const_data(made))[i]]);
    putchar('\n');
    return fflush(stdout) == 0;
}

static bool run(const settings *s, text *t)
{
    if (!options_set_threads(s->threads) ||
        !output_can_write((output){"out", s->out, FILE_SAFETENSORS}, s->force) || !text_open(t, s))
        return false;
    ito_tensor *prompt = prompt_of(t, s);
    ito_generator g = ito_generator_make((uint64_t)s->seed, 0);
    if (prompt == NULL)
        return false;
    ito_gpt *gpt = ito_gpt_create(t->size, s->context, .n_layer = s->layers, .n_head = s->heads,
                                  .n_embd = s->width, .dropout = s->dropout,
                                  .rotary = strcmp(s->positions, "rotary") == 0, .generator = &g);
    if (gpt == NULL)
        return false;
    bool good = s->model == NULL || ito_module_load(&gpt->base, s->model) == ITO_OK;
    if (good)
        note("%" PRId64 " characters, %" PRId64 " different ones; %" PRId64 " parameters\n", t->n,
             t->size, ito_module_parameter_count(&gpt->base));
    good = good && (s->model != NULL || train(gpt, t, s));
    good = good && (s->out == NULL || ito_module_save(&gpt->base, s->out) == ITO_OK);
    ito_module_train(&gpt->base, false);
    ito_no_grad_begin();
    good = good && judge(gpt, t, s) && write_text(gpt, t, prompt, s);
    ito_no_grad_end();
    ito_module_free(&gpt->base);
    return good;
}

int main(int argc, char **argv)
{
    settings s = {.text = NULL};
    text t = {.n = 0};
    command_line c = {.command = "",
                      .doc = "Learn a text character by character with a small GPT, and go on with "
                             "it.",
                      .options = rows,
                      .values = &s};
    options_parse(&c, argc, argv);
    ito_scope_begin();
    bool good = run(&s, &t);
    ito_scope_end();
    text_free(&t);
    if (good)
        return 0;
    options_blame();
    return options_report(c.command);
}
